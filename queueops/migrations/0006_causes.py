from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0005_bulk_operations"),
    ]

    operations = []
