from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0008_api_tokens"),
    ]

    operations = []
