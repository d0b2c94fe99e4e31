from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0007_rollups"),
    ]

    operations = []
