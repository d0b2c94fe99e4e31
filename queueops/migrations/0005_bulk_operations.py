from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0004_switches"),
    ]

    operations = []
