"""A console's tables as they are after a busy month: what is spread evenly, what comes in clusters, what is rare.

Written by the database itself, on PostgreSQL and SQLite from the same statements: `«hex:…»` and the like are the few
words that they do not share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from django.db import connection
from django.db.backends.utils import CursorWrapper

from automations.models import Workspace
from queueops import rollups
from queueops.jobs import Lane
from queueops.models import Cause

DAYS = 30
ACCOUNTS = 40
BATCH = 1_000_000
# Rows of each span. A chart draws less than a hundred, along the key's index.
MINUTES = 3000
WORKSPACE = "00000000000070008000000000000000"

# Half of everything is one account's; the others share the rest.
ACCOUNT = "CASE WHEN n % 2 = 0 THEN 0 ELSE (n / 2) % 39 + 1 END"
TENANT = f"CAST(17841400000000000 + ({ACCOUNT}) AS text)"
PERSON = "CAST(8400000000000000 + n % {people} AS text)"
AT_MS = "({start} + n * {step})"
ID = f"«uuid:«hex:{AT_MS},12» || '70008' || «hex:n,15»»"
KEY = "«hex:(n * 2654435761) % 4294967296,8» || «hex:n,24»"
AT = f"«time:{AT_MS}»"
# A message may be answered for a day, a comment for a week.
EXPIRES_AT = f"""CASE WHEN n % 10 < 6 THEN «time:({AT_MS} + 86400000)»
    WHEN n % 10 < 9 THEN «time:({AT_MS} + 604800000)» END"""
ACCOUNT_ID = f"«uuid:'0000000000007000800000000000' || «hex:{ACCOUNT},4»»"
CONTACT_ID = "«uuid:«hex:(n * 2654435761) % 4294967296,8» || '00005000a' || «hex:n,15»»"

# A flood of comments on the sixth day, an outage on the tenth: whoever filters by them reads far back.
KIND = """CASE WHEN n % 10 < 6 THEN 'message' WHEN n % 10 < 9 THEN 'comment'
    WHEN n < {rows} / 5 AND n % 100 = 99 THEN 'live_comment' ELSE 'quick_reply' END"""
LANE = "CASE WHEN n % 10 < 6 THEN 'high' WHEN n % 10 < 9 THEN 'low' ELSE 'default' END"
OUTCOME = """CASE WHEN n > {rows} / 3 AND n < {rows} / 3 + {rows} / 50 THEN 'dead' WHEN n % 100 < 70 THEN 'sent'
    WHEN n % 100 < 92 THEN 'no_match' WHEN n % 100 < 99 THEN 'skipped' WHEN n % 10000 = 99 THEN 'unconfirmed'
    ELSE 'discarded' END"""
TEXT = """CASE WHEN n % 50021 = 7 THEN 'Do you have the zebra cushion in green?'
    ELSE 'hello, could you send me the link to the blue one, please?' END"""
PAYLOAD = f'\'{{"kind": "\' || {KIND} || \'", "text": "\' || {TEXT} || \'"}}\''

CAUSES = (
    (190, 463, "The account's access token has expired", "needs_owner"),
    (4, 0, "Meta limits our app", "wait"),
    (613, 0, "Meta limits this account", "pause_account"),
    (10, 2534022, "The 24-hour window has closed", "reject"),
    (100, 33, "The comment was deleted", "reject"),
    (2, 0, "Meta has a hiccup", "retry"),
    (0, 0, "ValueError", "bug"),
    (551, 0, "The person cannot be reached", "reject"),
)


# Of every thousand one is of the last cause: rare.
CAUSE = "(CASE WHEN n % 1000 = 999 THEN 7 ELSE n % 7 END)"


def _of_cause(place: int) -> str:
    cases = " ".join(f"WHEN {n} THEN {_literal(cause[place])}" for n, cause in enumerate(CAUSES))
    return f"CASE {CAUSE} {cases} END"


def _literal(value: object) -> str:
    text = str(value).replace("'", "''")
    return text if isinstance(value, int) else f"'{text}'"


# table: (columns, values), each a SELECT over `n`.
TABLES = {
    "automations_contact": (
        "id, account_id, instagram_scoped_id, username, first_seen_at",
        f"{CONTACT_ID}, {ACCOUNT_ID}, {PERSON}, CASE WHEN n % 3 = 0 THEN 'person' || n ELSE '' END, {AT}",
    ),
    "automations_conversation": ("contact_id, last_inbound_at, state", f"{CONTACT_ID}, {AT}, '{{}}'"),
    "automations_event": (
        "id, key, receipt, kind, lane, account, person, source_id, text, payload, outcome, reason, rules, attempts, "
        "happened_at, received_at, started_at, finished_at",
        f"{ID}, {KEY}, 'r', {KIND}, {LANE}, {TENANT}, {PERSON}, 'comment' || n, {TEXT}, «json:{PAYLOAD}», {OUTCOME}, "
        f"'', «json:'[]'», «json:'[]'», {AT}, {AT}, {AT}, {AT}",
    ),
    "automations_delivery": (
        "id, event_id, automation_key, step, kind, recipient, body, status, message_id, created_at, finished_at",
        f"{ID}, {ID}, '', 1, CASE WHEN n % 10 < 6 THEN 'dm' ELSE 'private_reply' END, {PERSON}, "
        f"«json:'{{}}'», CASE WHEN n % 1000 = 7 THEN 'failed' WHEN n % 100000 = 8 THEN 'unconfirmed' ELSE 'sent' END, "
        f"'mid' || n, {AT}, {AT}",
    ),
    "queueops_deadletter": (
        "id, event, func, payload, lane, kind, account, person, source_id, cause_code, cause_subcode, cause_title, "
        "cause_verdict, error, traceback, attempts, status, created_at, expires_at, fingerprint, edits",
        f"{ID}, {KEY}, 'automations.tasks.process_event', "
        f"«json:'{{\"args\": [' || {PAYLOAD} || ']}}'», {LANE}, {KIND}, "
        f"{TENANT}, {PERSON}, 'comment' || n, {_of_cause(0)}, {_of_cause(1)}, {_of_cause(2)}, {_of_cause(3)}, "
        f"{_of_cause(2)} || ': ' || CASE WHEN n % 50021 = 7 THEN 'zebra' ELSE 'fbtrace' END || n, "
        f"'Traceback (most recent call last)', n % 5 + 1, "
        f"CASE WHEN n % 6 < 5 THEN 'dead' WHEN n % 9 < 5 THEN 'retried' WHEN n % 9 < 8 THEN 'resolved' "
        f"ELSE 'discarded' END, {AT}, {EXPIRES_AT}, «hex:{CAUSE},32», «json:'[]'»",
    ),
    "queueops_auditentry": (
        "number, at, who, who_id, through, action, kind, count, reason, details, previous, seal",
        f"n - 1, {AT}, 'person' || n % 7, n % 7, 'console', CASE WHEN n % 3 = 0 THEN 'retry' ELSE 'pause' END, "
        f"'queueops.deadletter', 1, 'a reason of some words', «json:'{{}}'», «hex:n - 1,64», «hex:n,64»",
    ),
    "queueops_audittarget": ("entry_id, key, name", "n - 1, «hex:n,32», 'comment' || n"),
}
# How many rows for every ten dead letters.
SHARES = {
    "automations_contact": 10,
    "automations_conversation": 10,
    "automations_event": 50,
    "automations_delivery": 50,
    "queueops_deadletter": 12,  # ten are open
    "queueops_auditentry": 1,
    "queueops_audittarget": 1,
}

WORDS: dict[str, dict[str, Callable[..., str]]] = {
    "postgresql": {
        "hex": lambda value, width: f"lpad(to_hex(({value})::bigint), {width}, '0')",
        "uuid": lambda text: f"({text})::uuid",
        "time": lambda ms: f"to_timestamp({ms} / 1000.0)",
        "json": lambda text: f"({text})::jsonb",
    },
    "sqlite": {
        "hex": lambda value, width: f"printf('%0{width}x', {value})",
        "uuid": lambda text: f"({text})",
        "time": lambda ms: f"datetime({ms} / 1000, 'unixepoch')",
        "json": lambda text: f"({text})",
    },
}
SERIES = {
    "postgresql": "generate_series({first}::bigint, {last}::bigint) AS n",
    "sqlite": "(WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last}) "
    "SELECT n FROM s)",
}
INNERMOST = re.compile(r"«(hex|uuid|time|json):([^«»]*)»")


def fill(letters: int, now_ms: int) -> None:
    """So many dead letters, and of the other tables in proportion; in tables that are empty. Then ANALYZE."""
    Workspace.objects.create(pk=UUID(WORKSPACE), name="Bench")
    with connection.cursor() as cursor, _without_indexes():
        cursor.execute(_in_words(_accounts()))
        for n, (code, subcode, title, verdict) in enumerate(CAUSES):
            Cause.objects.create(fingerprint=f"{n:032x}", title=title, code=code, subcode=subcode, verdict=verdict)
        _fill_minutes(cursor, now_ms // 60_000)
        for table, share in SHARES.items():
            rows = letters * share // 10
            for first in range(1, rows + 1, BATCH):
                cursor.execute(_insert(table, first, min(first + BATCH - 1, rows), rows, letters, now_ms))
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {', '.join(TABLES)}" if connection.vendor == "postgresql" else "ANALYZE")


def _fill_minutes(cursor: CursorWrapper, now: int) -> None:
    """What the charts draw: rows of a minute and the coarser ones, all alike. now: Unix minute."""
    counts = {f"n:{name}": 400 for name in ("completed", "cache_hit", "cache_miss", *_by_lane("arrived"))}
    for name in ("wait", "process", "answer"):
        counts |= {f"ms:{name}:{bucket}": bucket for bucket in range(1, 60)}
    state = {name: 300 for place in ("waiting", "active", "retrying", "dead", "oldest") for name in _by_lane(place)}
    for span in rollups.SPANS:
        series = SERIES[connection.vendor].format(first=1, last=MINUTES)
        cursor.execute(
            _in_words(
                "INSERT INTO queueops_rollup (span, minute, minutes, counts, state, met, missed, unexplained) "  # noqa: S608
                f"SELECT {span}, {now // span * span} - n * {span}, {span}, «json:'{json.dumps(counts)}'», "
                f"«json:'{json.dumps(state)}'», 400, 1, 0 FROM {series}"
            )
        )


def _by_lane(name: str) -> list[str]:
    return [f"{name}:{lane}" for lane in Lane]


def _accounts() -> str:
    n = f"SELECT n * 2 - 1 AS n FROM {SERIES[connection.vendor]}".format(first=1, last=ACCOUNTS)  # noqa: S608
    workspace = f"«uuid:'{WORKSPACE}'»"
    account = "«uuid:'0000000000007000800000000000' || «hex:n / 2 % 40,4»»"
    return (
        "INSERT INTO automations_account (id, workspace_id, instagram_id, username, token, status, status_reason, "  # noqa: S608
        f"created_at) SELECT {account}, {workspace}, CAST(17841400000000000 + n / 2 % 40 AS text), 'shop' || n, '', "
        f"'active', '', CURRENT_TIMESTAMP FROM ({n}) AS s"
    )


def _insert(table: str, first: int, last: int, rows: int, people: int, now_ms: int) -> str:
    columns, values = TABLES[table]
    step = DAYS * 86_400_000 // rows
    numbers = {"rows": rows, "people": people, "start": now_ms - rows * step, "step": step}
    for name, number in numbers.items():
        values = values.replace(f"{{{name}}}", str(number))
    series = SERIES[connection.vendor].format(first=first, last=last)
    return f"INSERT INTO {table} ({columns}) SELECT {_in_words(values)} FROM {series}"  # noqa: S608


def _in_words(sql: str) -> str:
    """With this database's own words, from the innermost out."""
    words = WORDS[connection.vendor]
    while found := INNERMOST.search(sql):
        name, inside = found.groups()
        arguments = inside.rsplit(",", 1) if name == "hex" else [inside]
        sql = sql[: found.start()] + words[name](*arguments) + sql[found.end() :]
    return sql


@contextmanager
def _without_indexes() -> Iterator[None]:
    """On PostgreSQL: rows go in many times faster, and indexes are made afterwards in one go."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        tables = list(TABLES)
        # Nobody needs the rows after a crash. Those that refer to others come first.
        for table in reversed(tables):
            cursor.execute(f"ALTER TABLE {table} SET UNLOGGED")
        cursor.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        cursor.execute("SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2")
        cursor.execute(
            "SELECT format('ALTER TABLE %%I DROP CONSTRAINT %%I', r.relname, c.conname), "
            "format('ALTER TABLE %%I ADD CONSTRAINT %%I %%s', r.relname, c.conname, pg_get_constraintdef(c.oid)) "
            "FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid WHERE c.contype = 'u' AND r.relname = ANY(%s)",
            [tables],
        )
        constraints = cursor.fetchall()
        cursor.execute(
            "SELECT format('DROP INDEX %%I', indexname), indexdef FROM pg_indexes i WHERE tablename = ANY(%s) "
            "AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conname = i.indexname)",
            [tables],
        )
        made_later = [*constraints, *cursor.fetchall()]
        for drop, _ in made_later:
            cursor.execute(drop)
        yield
        for _, make in made_later:
            cursor.execute(make)
        cursor.execute("RESET session_replication_role")
