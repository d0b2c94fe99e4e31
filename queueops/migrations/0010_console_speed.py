from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0009_alerts"),
    ]

    operations = [
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["account", "status", "-id"], name="letter_account_status"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["kind", "status", "-id"], name="letter_kind"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["cause_code", "status", "-id"], name="letter_code"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["cause_title", "status", "-id"], name="letter_title"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["person"], name="letter_person"),
        ),
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["source_id"], name="letter_source"),
        ),
        migrations.AddIndex(
            model_name="audittarget",
            index=models.Index(fields=["name"], name="audit_target_name"),
        ),
    ]
