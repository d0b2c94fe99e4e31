import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import queueops.keys


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("queueops", "0008_api_tokens"),
    ]

    operations = [
        migrations.CreateModel(
            name="AlertRound",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("looked_at", models.DateTimeField()),
                ("looked_by", models.CharField(blank=True, max_length=150)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.UUIDField(default=queueops.keys.new_id, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(help_text="Of the condition.", max_length=64)),
                ("subject", models.CharField(blank=True, help_text="The lane, account or setting it is about.", max_length=128)),
                ("severity", models.CharField(choices=[("page", "now"), ("ticket", "today")], max_length=16, verbose_name="act")),
                ("words", models.CharField(max_length=500, verbose_name="what is wrong")),
                ("first_seen_at", models.DateTimeField(verbose_name="since")),
                ("last_seen_at", models.DateTimeField(verbose_name="last seen")),
                ("gone_since", models.DateTimeField(blank=True, help_text="Not seen any more since; seen again: empty.", null=True)),
                ("opened_at", models.DateTimeField(blank=True, help_text="Empty: does not hold for long yet.", null=True, verbose_name="opened")),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="resolved")),
                ("notified_at", models.DateTimeField(blank=True, null=True, verbose_name="last told")),
                ("told", models.JSONField(blank=True, default=dict, help_text="What each destination was told last, and when.")),
                ("acknowledged_at", models.DateTimeField(blank=True, null=True, verbose_name="acknowledged")),
                ("acknowledged_by", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "ordering": ["-id"],
                "permissions": [("acknowledge_alert", "Can acknowledge alerts")],
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["closed_at"], name="alert_closed")],
                "constraints": [models.UniqueConstraint(condition=models.Q(("closed_at__isnull", True)), fields=("name", "subject"), name="alert_stands_once")],
            },
        ),
    ]
