"""The database itself refuses to change or remove what stands in the audit log.

Its owner can still drop a trigger, and TRUNCATE empties a table: that is what the chain of seals is for.
"""

from __future__ import annotations

from typing import Any

from django.db import migrations

TABLES = ("queueops_auditentry", "queueops_audittarget")
WHY = "The audit log is only appended to."

FUNCTION = f"""
CREATE FUNCTION queueops_only_appended_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '{WHY}' USING ERRCODE = 'restrict_violation';
END $$;
"""


def refuse_changes(apps: Any, schema_editor: Any) -> None:
    vendor = schema_editor.connection.vendor
    if vendor == "postgresql":
        schema_editor.execute(FUNCTION, params=None)
        for table in TABLES:
            schema_editor.execute(
                f"CREATE TRIGGER {table}_only_appended_to BEFORE UPDATE OR DELETE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION queueops_only_appended_to()",
                params=None,
            )
    elif vendor == "sqlite":
        for table in TABLES:
            for change in ("update", "delete"):
                schema_editor.execute(
                    f"CREATE TRIGGER {table}_no_{change} BEFORE {change.upper()} ON {table} "
                    f"BEGIN SELECT RAISE(ABORT, '{WHY}'); END",
                    params=None,
                )


def allow_changes(apps: Any, schema_editor: Any) -> None:
    vendor = schema_editor.connection.vendor
    if vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION queueops_only_appended_to() CASCADE", params=None)
    elif vendor == "sqlite":
        for table in TABLES:
            for change in ("update", "delete"):
                schema_editor.execute(f"DROP TRIGGER {table}_no_{change}", params=None)


class Migration(migrations.Migration):

    dependencies = [
        ("queueops", "0012_console_speed_two"),
    ]

    operations = [
        migrations.RunPython(refuse_changes, allow_changes),
    ]
