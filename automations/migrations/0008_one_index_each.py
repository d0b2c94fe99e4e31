from django.db import migrations, models


class Migration(migrations.Migration):
    """A unique field of text has a second index on PostgreSQL, for LIKE; a constraint has not."""

    dependencies = [
        ("automations", "0007_console_speed"),
    ]

    operations = [
        migrations.AlterField(model_name="event", name="key", field=models.CharField(max_length=64)),
        migrations.AddConstraint(
            model_name="event",
            constraint=models.UniqueConstraint(fields=("key",), name="event_key"),
        ),
        migrations.AlterField(
            model_name="delivery",
            name="once_key",
            field=models.CharField(blank=True, max_length=300, null=True),
        ),
        migrations.AddConstraint(
            model_name="delivery",
            constraint=models.UniqueConstraint(fields=("once_key",), name="delivery_once_key"),
        ),
    ]
