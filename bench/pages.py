"""The console's lists with many rows, opened by an operator: how long each page takes, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import median

from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client

from bench.servers import Servers

TIMES = 5

# An account in ten, an outcome in five: filters find some, not all.
ROWS = {
    "automations_event": """
        INSERT INTO automations_event (id, key, receipt, kind, lane, account, person, source_id, text, payload, outcome,
          reason, rules, attempts, happened_at, received_at, started_at, finished_at)
        SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, md5('event' || n), 'receipt', 'comment',
          'low', '1784' || n % 10, '84' || n, 'comment' || n, 'I want the link', '{}',
          (ARRAY['sent','no_match','skipped','dead','unconfirmed'])[n % 5 + 1], '', '[]', '[]',
          now(), now(), now(), now()
        FROM generate_series({first}, {last}) AS n""",
    "automations_delivery": """
        INSERT INTO automations_delivery (id, event_id, automation_key, step, kind, recipient, body, status, message_id,
          created_at, finished_at)
        SELECT id, id, '', 1, 'private_reply', source_id, '{}',
          (ARRAY['sent','failed','unconfirmed','skipped'])[(row_number() OVER ()) % 4 + 1], 'mid', now(), now()
        FROM automations_event""",
    "queueops_deadletter": """
        INSERT INTO queueops_deadletter (id, event, func, payload, lane, kind, account, person, source_id, cause_code,
          cause_subcode, cause_title, cause_verdict, error, traceback, attempts, edits, fingerprint, status, created_at)
        SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, md5('event' || n), 'task', '[]', 'low',
          'comment', '1784' || n % 10, '84' || n, 'comment' || n, 10, 0, 'No permission', 'reject',
          'OAuthException: No permission', '', 3, '[]', '', (ARRAY['dead','retried','resolved'])[n % 3 + 1], now()
        FROM generate_series({first}, {last}) AS n""",
}
PAGES = {
    "events": "/admin/automations/event/",
    "events of one outcome": "/admin/automations/event/?outcome__in=dead",
    "events, found by a comment's id": "/admin/automations/event/?q=comment777",
    "deliveries": "/admin/automations/delivery/",
    "dead letters": "/admin/queueops/deadletter/",
    "overview": "/admin/queueops/console/",
}


def fill(servers: Servers, rows: int) -> None:
    """So many rows in each of the large tables, and none that were there before."""
    call_command("migrate", verbosity=0)
    servers.sql(servers.postgres, "TRUNCATE automations_event, queueops_deadletter CASCADE")
    for statement in ROWS.values():
        servers.sql(servers.postgres, of_rows(statement, rows))
    for table in ROWS:
        servers.sql(servers.postgres, f"VACUUM ANALYZE {table}")


def of_rows(statement: str, rows: int) -> str:
    """One of ROWS, for so many rows."""
    return statement.replace("{first}", "1").replace("{last}", str(rows))


def empty(servers: Servers) -> None:
    servers.sql(servers.postgres, "TRUNCATE automations_event, queueops_deadletter CASCADE")


def measure(pages: Iterable[str]) -> dict[str, float]:
    """Milliseconds of each page, the median of some times. Raises RuntimeError when one is no page."""
    user, _ = get_user_model().objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    # As behind the proxy that ends TLS.
    client = Client(SERVER_NAME="localhost", headers={"X-Forwarded-Proto": "https"})
    client.force_login(user)
    return {page: median(_open(client, PAGES[page]) for _ in range(TIMES)) for page in pages}


def _open(client: Client, path: str) -> float:
    started = time.perf_counter()
    answer = client.get(path)
    took = (time.perf_counter() - started) * 1000
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status_code}")
    return took
