from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0011_letters_by_automation")]
    operations = [
        migrations.CreateModel(
            name="CauseCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "due_at",
                    models.DateTimeField(
                        help_text="When somebody should count next; while one counts, when another may."
                    ),
                ),
                (
                    "counted_at",
                    models.DateTimeField(help_text="Empty: the letters are few, and counted by who looks.", null=True),
                ),
                ("counts", models.JSONField(default=dict, help_text="By fingerprint.")),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AddField(
            model_name="operation",
            name="is_counted",
            field=models.BooleanField(default=True, help_text="No: the total is the least; a worker counts them all."),
        ),
    ]
