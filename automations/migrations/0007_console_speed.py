from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("automations", "0006_why"),
    ]

    operations = []
