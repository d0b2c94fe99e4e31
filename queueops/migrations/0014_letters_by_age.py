from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('queueops', '0013_append_only_audit'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['kind', '-id'], name='letter_kind_by_age'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['cause_code', '-id'], name='letter_code_by_age'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['automation', '-id'], name='letter_automation_by_age'),
        ),
    ]
