from django.db import migrations

from chatautodm.groups import grant


def extend_groups(apps, schema_editor):
    """Each kind of user's share of what the console can do."""
    grant(apps, "manager", ["auth.view_user", "auth.add_user", "auth.change_user", "auth.view_group"])
    grant(apps, "manager", ["queueops.view_apitoken", "queueops.add_apitoken", "queueops.revoke_apitoken"])
    for name in ("viewer", "operator", "manager"):
        grant(apps, name, ["queueops.view_alert"])
    for name in ("operator", "manager"):
        grant(apps, name, ["queueops.acknowledge_alert"])
    for name in ("viewer", "operator", "manager"):
        grant(apps, name, ["queueops.view_cause", "queueops.view_operation"])
    for name in ("operator", "manager"):
        grant(apps, name, ["queueops.resolve_cause"])
    grant(apps, "manager", ["queueops.consent_operation", "queueops.edit_deadletter"])


class Migration(migrations.Migration):

    dependencies = [
        ("chatautodm", "0003_settling"),
        ("automations", "0007_console_speed"),
        ("queueops", "0010_console_speed"),
    ]

    operations = [
        # The way back leaves the groups as they are.
        migrations.RunPython(extend_groups, migrations.RunPython.noop),
    ]
