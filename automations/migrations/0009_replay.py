from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("automations", "0008_one_index_each"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="event",
            options={
                "ordering": ["-id"],
                "permissions": [("replay_event", "Can have events answered that nothing answered")],
            },
        ),
    ]
