import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("automations", "0006_why"),
    ]

    operations = [
        # The person first: so the index also finds a person whose account nobody named.
        migrations.RemoveConstraint(model_name="contact", name="contact_per_account"),
        migrations.AddConstraint(
            model_name="contact",
            constraint=models.UniqueConstraint(fields=("instagram_scoped_id", "account"), name="contact_per_account"),
        ),
        # `delivery_once_per_step` begins with the event: an index of its own only costs.
        migrations.AlterField(
            model_name="delivery",
            name="event",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="automations.event",
            ),
        ),
    ]
