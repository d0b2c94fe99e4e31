from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('queueops', '0003_the_database_tier'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='console',
            options={'default_permissions': (), 'managed': False, 'permissions': [('view_console', 'Can see the queue console'), ('see_text', 'Can see what people wrote'), ('pause_lane', 'Can pause and resume lanes'), ('switch_mode', 'Can switch the mode')], 'verbose_name': 'console', 'verbose_name_plural': 'console'},
        ),
    ]
