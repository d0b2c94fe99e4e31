from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("automations", "0005_account_groups"),
    ]

    operations = []
