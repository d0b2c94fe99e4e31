from django.db import migrations

from chatautodm.groups import grant


def extend_groups(apps, schema_editor):
    """Each kind of user's share of what the console can do."""


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
