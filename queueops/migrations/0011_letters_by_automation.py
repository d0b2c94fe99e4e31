from django.db import migrations, models

import queueops.keys


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0010_console_speed"),
    ]

    operations = [
        migrations.AddField(
            model_name="deadletter",
            name="automation",
            field=models.CharField(blank=True, db_default="", default="", max_length=64, verbose_name="automation id"),
        ),
        migrations.AddField(
            model_name="deadletter",
            name="automation_name",
            field=models.CharField(blank=True, db_default="", default="", help_text="Its name when it was given up.", max_length=200, verbose_name="automation"),
        ),
        migrations.AddField(
            model_name="deadletter",
            name="earlier",
            field=models.JSONField(blank=True, help_text="The attempts before the last, with their tracebacks.", null=True),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["automation", "status", "-id"], name="letter_automation"),
        ),
        migrations.CreateModel(
            name="FailedAttempt",
            fields=[
                ("id", models.UUIDField(default=queueops.keys.new_id, editable=False, primary_key=True, serialize=False)),
                ("job", models.CharField(help_text="The event's key.", max_length=64, verbose_name="job id")),
                ("number", models.PositiveIntegerField()),
                ("at", models.DateTimeField()),
                ("error", models.CharField(max_length=500)),
                ("traceback", models.TextField(blank=True)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["job"], name="failed_attempt_job")],
            },
        ),
    ]
