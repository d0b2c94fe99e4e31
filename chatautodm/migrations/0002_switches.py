from django.db import migrations

from chatautodm.groups import grant

OPERATOR = ("queueops.pause_lane", "automations.pause_account")
GROUPS = {"operator": OPERATOR, "manager": (*OPERATOR, "queueops.switch_mode")}


def extend_groups(apps, schema_editor):
    for name, permissions in GROUPS.items():
        grant(apps, name, permissions)


class Migration(migrations.Migration):

    dependencies = [
        ("chatautodm", "0001_groups"),
        ("queueops", "0004_switches"),
        ("automations", "0003_pausing_accounts"),
    ]

    operations = [
        # The way back leaves the groups as they are.
        migrations.RunPython(extend_groups, migrations.RunPython.noop),
    ]
