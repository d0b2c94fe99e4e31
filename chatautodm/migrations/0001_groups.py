from django.db import migrations

from chatautodm.groups import grant

VIEWER = (
    "queueops.view_console",
    "queueops.view_deadletter",
    "queueops.view_auditentry",
    "automations.view_workspace",
    "automations.view_account",
    "automations.view_automation",
    "automations.view_contact",
    "automations.view_conversation",
    "automations.view_event",
    "automations.view_delivery",
)
OPERATOR = (
    *VIEWER,
    "queueops.see_text",
    "queueops.retry_deadletter",
    "queueops.bulk_retry_deadletter",
    "queueops.discard_deadletter",
)
MANAGER = (
    *OPERATOR,
    *(
        f"automations.{verb}_{model}"
        for model in ("workspace", "account", "automation")
        for verb in ("add", "change", "delete")
    ),
)
GROUPS = {"viewer": VIEWER, "operator": OPERATOR, "manager": MANAGER}


def make_groups(apps, schema_editor):
    for name, permissions in GROUPS.items():
        grant(apps, name, permissions)


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("queueops", "0002_audit_log"),
        ("automations", "0001_initial"),
    ]

    operations = [
        # The way back leaves the groups: people are in them.
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
