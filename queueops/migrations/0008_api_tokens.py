import hashlib

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.migrations.recorder import MigrationRecorder

OLD_TABLE = "authtoken_token"
OLD_NAME = "made before tokens had names"
INITIAL_CHARACTERS = 4


def take_over(apps, schema_editor):
    """The keys of rest_framework.authtoken go on working: their digests move here, the readable keys go away."""
    connection = schema_editor.connection
    if OLD_TABLE not in connection.introspection.table_names():
        return
    tokens = apps.get_model("queueops", "ApiToken").objects.using(connection.alias)
    old = apps.get_model("queueops", "OldToken").objects.using(connection.alias)
    tokens.bulk_create(
        tokens.model(
            name=OLD_NAME,
            user_id=row.user_id,
            scope="operate",
            digest=hashlib.sha256(row.key.encode()).hexdigest(),
            begins_with=row.key[:INITIAL_CHARACTERS],
            created_at=row.created,
        )
        for row in old.all()
    )
    schema_editor.execute(schema_editor.sql_delete_table % {"table": schema_editor.quote_name(OLD_TABLE)})
    # The app is not installed any more; were it ever again, it would make its table anew.
    MigrationRecorder(connection).migration_qs.filter(app="authtoken").delete()


class Migration(migrations.Migration):

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("queueops", "0007_rollups"),
    ]

    operations = [
        migrations.CreateModel(
            name="ApiToken",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.CharField(help_text="What it is for: the monitor, the script, the person.", max_length=100),
                ),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("read", "read: look at everything that the user may see"),
                            ("operate", "operate: also do what the user may do"),
                        ],
                        default="read",
                        max_length=16,
                    ),
                ),
                (
                    "digest",
                    models.CharField(
                        editable=False, help_text="SHA-256 of the key, in hex.", max_length=64, unique=True
                    ),
                ),
                (
                    "begins_with",
                    models.CharField(editable=False, help_text="The key's first characters.", max_length=8),
                ),
                (
                    "created_at",
                    models.DateTimeField(default=django.utils.timezone.now, editable=False, verbose_name="made"),
                ),
                (
                    "last_used_at",
                    models.DateTimeField(
                        editable=False, help_text="Within a minute.", null=True, verbose_name="last used"
                    ),
                ),
                (
                    "expires_at",
                    models.DateTimeField(blank=True, help_text="Empty: never. UTC.", null=True, verbose_name="expires"),
                ),
                ("revoked_at", models.DateTimeField(editable=False, null=True, verbose_name="revoked")),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "verbose_name": "API token",
                "ordering": ["-created_at"],
                "permissions": [("revoke_apitoken", "Can revoke API tokens")],
                "default_permissions": ("add", "view"),
            },
        ),
        # How the table of rest_framework.authtoken looks, where there is one; unmanaged: this makes and deletes nothing.
        migrations.CreateModel(
            name="OldToken",
            fields=[
                ("key", models.CharField(max_length=40, primary_key=True)),
                ("created", models.DateTimeField()),
                ("user_id", models.BigIntegerField()),
            ],
            options={"db_table": OLD_TABLE, "managed": False, "default_permissions": ()},
        ),
        # There is no way back to readable keys.
        migrations.RunPython(take_over, migrations.RunPython.noop),
        migrations.DeleteModel("OldToken"),
    ]
