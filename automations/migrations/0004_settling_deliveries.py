from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('automations', '0003_pausing_accounts'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='delivery',
            options={'ordering': ['-id'], 'permissions': [('settle_delivery', 'Can settle unconfirmed deliveries')], 'verbose_name_plural': 'deliveries'},
        ),
    ]
