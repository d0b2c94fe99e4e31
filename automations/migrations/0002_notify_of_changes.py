"""Triggers that tell `sync_automation_cache` of changes made past the ORM; on PostgreSQL, which alone can tell."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# "<what> <Instagram user id>", and `*` where the id cannot be told. A notification must never break the change itself:
# hence the path, for a session that has another one.
FUNCTIONS = """
CREATE FUNCTION automations_notify(what text, instagram_id text) RETURNS void LANGUAGE sql AS $$
    SELECT pg_notify('cad_evict', what || ' ' || coalesce(nullif(instagram_id, ''), '*'))
$$;

CREATE FUNCTION automations_automation_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM automations_notify(
            'automation', (SELECT instagram_id FROM automations_account WHERE id = OLD.account_id));
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM automations_notify(
            'automation', (SELECT instagram_id FROM automations_account WHERE id = NEW.account_id));
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION automations_account_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM automations_notify('account', OLD.instagram_id);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM automations_notify('account', NEW.instagram_id);
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION automations_anything_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM automations_notify(TG_ARGV[0], NULL);
    RETURN NULL;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER automations_rows_changed AFTER INSERT OR UPDATE OR DELETE ON automations_automation
    FOR EACH ROW EXECUTE FUNCTION automations_automation_changed();
CREATE TRIGGER automations_rows_changed AFTER INSERT OR UPDATE OR DELETE ON automations_account
    FOR EACH ROW EXECUTE FUNCTION automations_account_changed();
CREATE TRIGGER automations_rows_changed AFTER INSERT OR UPDATE OR DELETE ON automations_workspace
    FOR EACH STATEMENT EXECUTE FUNCTION automations_anything_changed('workspace');
CREATE TRIGGER automations_emptied AFTER TRUNCATE ON automations_automation
    FOR EACH STATEMENT EXECUTE FUNCTION automations_anything_changed('automation');
CREATE TRIGGER automations_emptied AFTER TRUNCATE ON automations_account
    FOR EACH STATEMENT EXECUTE FUNCTION automations_anything_changed('account');
CREATE TRIGGER automations_emptied AFTER TRUNCATE ON automations_workspace
    FOR EACH STATEMENT EXECUTE FUNCTION automations_anything_changed('workspace');
"""

REMOVAL = """
DROP FUNCTION automations_automation_changed() CASCADE;
DROP FUNCTION automations_account_changed() CASCADE;
DROP FUNCTION automations_anything_changed() CASCADE;
DROP FUNCTION automations_notify(text, text);
"""


def install(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(FUNCTIONS + TRIGGERS, params=None)


def remove(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(REMOVAL, params=None)


class Migration(migrations.Migration):
    dependencies = [("automations", "0001_initial")]

    operations = [migrations.RunPython(install, remove)]
