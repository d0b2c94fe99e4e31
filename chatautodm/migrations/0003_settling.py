from django.db import migrations

from chatautodm.groups import grant


def extend_groups(apps, schema_editor):
    for name in ("operator", "manager"):
        grant(apps, name, ["automations.settle_delivery"])


class Migration(migrations.Migration):

    dependencies = [
        ("chatautodm", "0002_switches"),
        ("automations", "0004_settling_deliveries"),
    ]

    operations = [
        # The way back leaves the groups as they are.
        migrations.RunPython(extend_groups, migrations.RunPython.noop),
    ]
