from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('automations', '0002_notify_of_changes'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='account',
            options={'ordering': ['username'], 'permissions': [('pause_account', 'Can pause and resume accounts')]},
        ),
    ]
