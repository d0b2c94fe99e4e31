from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0009_alerts"),
    ]

    operations = []
