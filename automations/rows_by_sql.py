"""The rows of many events in one statement of PostgreSQL: what the ORM writes in eight, for a tenth of its time.

Each table's rows come as one JSON array of objects whose names are the columns. What is there already is left as it is
and reported: only the ORM's way (`rows_by_orm`) knows what an earlier run means. Rows are written as they come, and
come in the order of their unique keys, table after table, so that two processes never wait for each other in a circle;
of two rows with the same key the earlier one is written. Sorting them there would take a sixth of the statement's time,
even for one.
docs/adr/0015-the-workers-rows-in-one-statement.md has the reasons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from queueops import prepared

Row = Mapping[str, Any]

DELIVERY = (
    "id, event_id, automation_id, automation_key, step, kind, recipient, body, status, message_id, error, once_key, "
    "created_at, finished_at"
)
DELIVERIES = """d(
    id uuid, event_id uuid, automation_id uuid, automation_key text, step int, kind text, recipient text, body jsonb,
    status text, message_id text, error jsonb, once_key text, created_at timestamptz, finished_at timestamptz)"""

# A person who is known and says nothing new is not written: even an update that changes nothing would lock the row.
NOTE = """
WITH person AS MATERIALIZED (
    SELECT p.*, c.username AS old_username, v.contact_id AS talks, v.last_inbound_at AS old_inbound_at
    FROM json_to_recordset($1::json) AS p(
        id uuid, account_id uuid, instagram_scoped_id text, username text, first_seen_at timestamptz,
        last_inbound_at timestamptz)
    LEFT JOIN automations_contact c ON c.id = p.id
    LEFT JOIN automations_conversation v ON v.contact_id = p.id
), contact AS (
    INSERT INTO automations_contact AS c (id, account_id, instagram_scoped_id, username, first_seen_at)
    SELECT id, account_id, instagram_scoped_id, username, first_seen_at FROM person
    WHERE old_username IS NULL OR (username <> '' AND username <> old_username)
    ON CONFLICT (id) DO UPDATE SET username = EXCLUDED.username WHERE EXCLUDED.username <> ''
), conversation AS (
    INSERT INTO automations_conversation AS v (contact_id, last_inbound_at, state)
    SELECT id, last_inbound_at, '{}' FROM person
    WHERE talks IS NULL OR last_inbound_at > old_inbound_at
        OR (last_inbound_at IS NOT NULL AND old_inbound_at IS NULL)
    ON CONFLICT (contact_id) DO UPDATE SET last_inbound_at = GREATEST(v.last_inbound_at, EXCLUDED.last_inbound_at)
)
SELECT id, GREATEST(last_inbound_at, old_inbound_at) FROM person
"""

# `IS TRUE` keeps the planner from making a join of what is a look-up in a hash table.
START = f"""
WITH event AS (
    INSERT INTO automations_event (
        id, key, receipt, kind, lane, account, person, source_id, text, payload, outcome, reason, automation_id, rules,
        attempts, happened_at, received_at, started_at, finished_at)
    SELECT e.* FROM json_to_recordset($1::json) AS e(
        id uuid, key text, receipt text, kind text, lane text, account text, person text, source_id text, text text,
        payload jsonb, outcome text, reason text, automation_id uuid, rules jsonb, attempts jsonb,
        happened_at timestamptz, received_at timestamptz, started_at timestamptz, finished_at timestamptz)
    ON CONFLICT (key) DO NOTHING RETURNING id
), delivery AS (
    INSERT INTO automations_delivery ({DELIVERY})
    SELECT d.* FROM json_to_recordset($2::json) AS {DELIVERIES} WHERE (d.event_id IN (SELECT id FROM event)) IS TRUE
    ON CONFLICT DO NOTHING RETURNING event_id
)
SELECT id, id IN (SELECT event_id FROM delivery) FROM event
"""  # noqa: S608

ADVANCE = f"""
WITH ended AS (
    UPDATE automations_delivery d
    SET status = e.status, message_id = e.message_id, error = e.error, finished_at = e.finished_at
    FROM json_to_recordset($1::json) AS e(
        event_id uuid, automation_key text, step int, status text, message_id text, error jsonb,
        finished_at timestamptz)
    WHERE d.event_id = e.event_id AND d.automation_key = e.automation_key AND d.step = e.step
), closed AS (
    UPDATE automations_event v SET outcome = c.outcome, reason = c.reason, finished_at = c.finished_at
    FROM json_to_recordset($2::json) AS c(id uuid, outcome text, reason text, finished_at timestamptz)
    WHERE v.id = c.id
), begun AS (
    INSERT INTO automations_delivery ({DELIVERY})
    SELECT d.* FROM json_to_recordset($3::json) AS {DELIVERIES}
    ON CONFLICT DO NOTHING RETURNING id
)
SELECT id FROM begun
"""  # noqa: S608


async def start(events: Sequence[Row], deliveries: Sequence[Row]) -> dict[UUID, bool]:
    """Write the rows where there are none yet, in one transaction; which events, and whether with deliveries."""
    in_order = [_json(sorted(events, key=itemgetter("key"))), _json(sorted(deliveries, key=_once_key))]
    return dict(await prepared.execute(START, in_order))


async def note(people: Sequence[Row]) -> dict[UUID, datetime | None]:
    """Keep contacts and conversations up to date, in one transaction; when each of these people last wrote to us.

    people: in the order of their ids.
    """
    return dict(await prepared.execute(NOTE, [_json(people)]))


async def advance(ended: Sequence[Row], closed: Sequence[Row], begun: Sequence[Row]) -> set[UUID]:
    """Write how deliveries and events ended, and new deliveries, in one transaction; the keys of new ones written."""
    in_order = [_json(ended), _json(closed), _json(sorted(begun, key=_once_key))]
    return {key for (key,) in await prepared.execute(ADVANCE, in_order)}


def _once_key(row: Row) -> str:
    return row["once_key"] or ""


def _json(rows: Sequence[Row]) -> bytes:
    return orjson.dumps(rows)
