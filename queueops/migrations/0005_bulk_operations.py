import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

import queueops.keys


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("queueops", "0004_switches"),
    ]

    operations = [
        migrations.CreateModel(
            name='Operation',
            fields=[
                ('id', models.UUIDField(default=queueops.keys.new_id, editable=False, primary_key=True, serialize=False)),
                ('what', models.CharField(choices=[('retry', 'Retry'), ('discard', 'Discard')], max_length=16)),
                ('selection', models.JSONField(default=dict, help_text='Which letters: filters by name (`queueops.selections`).')),
                ('reason', models.TextField(blank=True, verbose_name='why')),
                ('asked_by_name', models.CharField(help_text="The user's name at that time.", max_length=150, verbose_name='who')),
                ('through', models.CharField(help_text='console, api or command.', max_length=16)),
                ('needs_consent', models.BooleanField(default=False)),
                ('consented_by', models.CharField(blank=True, max_length=150)),
                ('state', models.CharField(choices=[('asked', 'Asked'), ('running', 'Running'), ('halted', 'Halted'), ('cancelled', 'Cancelled'), ('done', 'Done')], default='running', max_length=16)),
                ('canary', models.PositiveIntegerField(default=0, help_text='So many go first, and must end well.')),
                ('canary_passed', models.BooleanField(default=False, help_text='They did, or an operator did not want to wait.')),
                ('pace', models.PositiveIntegerField(default=50, help_text='Letters a second.')),
                ('total', models.PositiveIntegerField(default=0, help_text='How many there were to handle when it began.')),
                ('done', models.PositiveIntegerField(default=0)),
                ('left_out', models.JSONField(default=dict, help_text='How many were left alone, by the reason.')),
                ('halted_because', models.TextField(blank=True)),
                ('cursor', models.UUIDField(blank=True, help_text='The last letter looked at.', null=True)),
                ('slice', models.JSONField(default=list, help_text='The letters in hand: a worker that dies leaves them here.')),
                ('judged_from', models.DateTimeField(blank=True, help_text='Deaths of letters handled before do not halt.', null=True)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('leased_by', models.CharField(blank=True, help_text='The turn that holds it.', max_length=64)),
                ('next_at', models.DateTimeField(default=django.utils.timezone.now, help_text='When the next slice is due.')),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('asked_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-id'],
                'permissions': [('consent_operation', 'Can consent to what somebody else wants to discard')],
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['state', 'next_at'], name='operation_due')],
            },
        ),
        migrations.AddField(
            model_name='deadletter',
            name='operation',
            field=models.ForeignKey(blank=True, db_index=False, help_text='Which operation on many letters handled it.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='letters', to='queueops.operation'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(condition=models.Q(('operation__isnull', False)), fields=['operation', 'handled_at'], name='letter_operation'),
        ),
        migrations.AlterModelOptions(
            name='deadletter',
            options={'ordering': ['-id'], 'permissions': [('retry_deadletter', 'Can retry dead letters'), ('bulk_retry_deadletter', 'Can retry many dead letters at once'), ('discard_deadletter', 'Can discard dead letters'), ('edit_deadletter', "Can change what a dead letter's job is given, and retry it")]},
        ),
        migrations.AddField(
            model_name='deadletter',
            name='edits',
            field=models.JSONField(blank=True, default=list, help_text='Who changed the payload when, and what it was.'),
        ),
    ]
