from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("automations", "0004_settling_deliveries"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = []
