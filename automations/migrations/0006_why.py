from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("automations", "0005_account_groups"),
    ]

    operations = [
        # Most people never have a name here: only comments tell it.
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                condition=models.Q(("username", ""), _negated=True), fields=["username"], name="contact_username"
            ),
        ),
    ]
