from django.db import migrations

from chatautodm.groups import grant


def extend_groups(apps, schema_editor):
    for name in ("operator", "manager"):
        grant(apps, name, ["automations.replay_event"])


class Migration(migrations.Migration):

    dependencies = [
        ("chatautodm", "0004_console"),
        ("automations", "0009_replay"),
    ]

    operations = [
        # The way back leaves the groups as they are.
        migrations.RunPython(extend_groups, migrations.RunPython.noop),
    ]
