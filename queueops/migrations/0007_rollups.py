from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0006_causes"),
    ]

    operations = []
