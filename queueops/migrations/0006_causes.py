import django.utils.timezone
from django.db import migrations, models

from queueops.fingerprints import fingerprint

BATCH = 1000


def name_causes(apps, schema_editor):
    """Give the letters that are there their fingerprints, and each fingerprint its cause."""
    letters = apps.get_model("queueops", "DeadLetter").objects.defer("payload", "edits").order_by("pk")
    batch = list(letters[:BATCH])
    while batch:
        for letter in batch:
            letter.fingerprint = fingerprint(letter)
        letters.model.objects.bulk_update(batch, ["fingerprint"])
        _write_causes(apps.get_model("queueops", "Cause"), batch)
        batch = list(letters.filter(pk__gt=batch[-1].pk)[:BATCH])


def _write_causes(causes, letters):
    named = {letter.fingerprint: letter for letter in reversed(letters)}
    causes.objects.bulk_create(
        [
            causes(
                fingerprint=name,
                title=letter.cause_title or letter.error[:200],
                func=letter.func,
                code=letter.cause_code,
                subcode=letter.cause_subcode,
                verdict=letter.cause_verdict,
                first_seen=letter.created_at,
            )
            for name, letter in named.items()
        ],
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0005_bulk_operations"),
    ]

    operations = [
        migrations.CreateModel(
            name='Cause',
            fields=[
                ('fingerprint', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('title', models.CharField(max_length=200)),
                ('func', models.CharField(blank=True, max_length=200, verbose_name='function')),
                ('code', models.IntegerField(default=0)),
                ('subcode', models.IntegerField(default=0)),
                ('verdict', models.CharField(blank=True, max_length=32)),
                ('state', models.CharField(choices=[('open', 'Open'), ('resolved', 'Resolved')], default='open', max_length=16)),
                ('first_seen', models.DateTimeField(default=django.utils.timezone.now)),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('resolved_by', models.CharField(blank=True, help_text="The user's name at that time.", max_length=150)),
                ('note', models.TextField(blank=True, help_text='How it was resolved.')),
                ('reopened_at', models.DateTimeField(blank=True, help_text='When a letter came after that.', null=True)),
            ],
            options={
                'permissions': [('resolve_cause', 'Can resolve and reopen causes')],
                'default_permissions': ('view',),
            },
        ),
        migrations.AddField(
            model_name='deadletter',
            name='fingerprint',
            field=models.CharField(blank=True, help_text='What it has in common with others: a cause.', max_length=32),
        ),
        migrations.AddField(
            model_name='deadletter',
            name='expires_at',
            field=models.DateTimeField(blank=True, help_text='From then on a retry sends nothing any more.', null=True),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['fingerprint', 'status', '-id'], name='letter_fingerprint'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('status', 'dead')), fields=['fingerprint', 'account'], include=('created_at', 'expires_at'), name='letter_causes'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('status', 'dead')), fields=['created_at', 'fingerprint'], name='letter_recent_causes'),
        ),
        # Old letters keep no `expires_at`: their windows are checked when they are retried.
        migrations.RunPython(name_causes, migrations.RunPython.noop),
    ]
