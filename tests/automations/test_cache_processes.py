"""What is saved or written in one process is live in another: real processes, as workers are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from automations import table_changes
from automations.models import Account, Automation
from queueops import taking
from tests.automations import rows
from tests.automations.rows import ACCOUNT
from tests.product.stack import database_url

SECONDS = 20.0
STRANGER = "17841400000000000"


def process(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", *command],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DATABASE_URL": database_url()},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def end(one: subprocess.Popen[str]) -> int:
    one.send_signal(signal.SIGTERM)
    try:
        one.communicate(timeout=SECONDS)
        return one.returncode
    finally:
        one.kill()


@pytest.fixture
def shop(redis, threads):
    account = rows.account()
    rows.automation(account)
    return account


@pytest.fixture
def ask(shop) -> Iterator[Callable[..., str]]:
    """A worker's look-ups, in another process."""
    worker = process("-m", "tests.automations.cache_process")

    def ask(*question: str) -> str:
        worker.stdin.write(" ".join(question) + "\n")
        worker.stdin.flush()
        return worker.stdout.readline().strip()

    yield ask
    end(worker)


@pytest.fixture
def syncing(shop) -> Iterator[subprocess.Popen[str]]:
    """`manage.py sync_automation_cache`, listening."""
    command = process("manage.py", "sync_automation_cache")
    assert command.stdout.readline().startswith("Listening")
    yield command
    end(command)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"


def test_a_rule_saved_in_one_process_is_seen_by_another(ask):
    assert ask("rule", ACCOUNT, "comment", "link") == "Comment link"

    rule = Automation.objects.get()
    rule.name, rule.keywords = "Renamed", ["discount"]
    rule.save()

    until(lambda: ask("rule", ACCOUNT, "comment", "discount") == "Renamed")
    assert ask("rule", ACCOUNT, "comment", "link") == "-"


def test_sql_is_seen_by_another_process(ask, syncing, shop, redis):
    """Every kind of change of each table in one pair of processes: starting them takes longest."""

    def rule():
        return ask("rule", ACCOUNT, "comment", "link")

    with psycopg.connect(database_url(), autocommit=True) as sql:
        until(lambda: rule() == "Comment link")
        sql.execute("UPDATE automations_automation SET name = 'By hand'")
        until(lambda: rule() == "By hand")

        columns = "account_id, trigger, media_id, match, keywords, actions, is_active, created_at, updated_at"
        sql.execute(
            f"INSERT INTO automations_automation (id, name, priority, {columns}) "
            f"SELECT gen_random_uuid(), 'Inserted', 5, {columns} FROM automations_automation"
        )
        until(lambda: rule() == "Inserted")
        sql.execute("DELETE FROM automations_automation WHERE name = 'Inserted'")
        until(lambda: rule() == "By hand")

        with sql.transaction():
            sql.execute("UPDATE automations_automation SET name = 'In a transaction'")
        until(lambda: rule() == "In a transaction")

        sql.execute("UPDATE automations_account SET username = 'renamed'")
        until(lambda: ask("account", ACCOUNT) == "renamed")
        assert ask("account", STRANGER) == "-"
        sql.execute("UPDATE automations_account SET instagram_id = %s", [STRANGER])
        until(lambda: (ask("account", STRANGER), ask("account", ACCOUNT)) == ("renamed", "-"))

        assert not redis.sismember(taking.VIP_KEY, STRANGER)
        sql.execute("UPDATE automations_workspace SET is_vip = true")
        until(lambda: bool(redis.sismember(taking.VIP_KEY, STRANGER)))

        sql.execute("TRUNCATE automations_automation CASCADE")
        until(lambda: ask("rule", STRANGER, "comment", "link") == "-")
        sql.execute("TRUNCATE automations_account CASCADE")
        until(lambda: ask("account", STRANGER) == "-")

    assert end(syncing) == 0


def test_after_a_gap_everything_is_evicted(ask, syncing, redis):
    until(lambda: ask("rule", ACCOUNT, "comment", "link") == "Comment link")
    with psycopg.connect(database_url(), autocommit=True) as sql:
        # The change comes in the same instant as the end of the connection that would have told of it.
        sql.execute("ALTER TABLE automations_automation DISABLE TRIGGER USER")
        sql.execute("UPDATE automations_automation SET name = 'Unheard'")
        sql.execute("ALTER TABLE automations_automation ENABLE TRIGGER USER")
        assert ask("rule", ACCOUNT, "comment", "link") == "Comment link"
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
        assert sql.execute(ended, [table_changes.NAME]).fetchall() == [(True,)]

    until(lambda: ask("rule", ACCOUNT, "comment", "link") == "Unheard")


def test_a_change_of_many_accounts_at_once_evicts_everything_once(shop, redis, monkeypatch):
    evicted: list[str] = []
    monkeypatch.setattr(table_changes, "publish_eviction", evicted.append)
    heard = [psycopg.Notify("cad_evict", f"automation {n}", 1) for n in range(101)]

    table_changes._evict(heard)
    table_changes._evict(heard[:2])

    assert evicted[0] == "*"
    assert sorted(evicted[1:]) == ["0", "1"]


def test_where_nothing_can_be_listened_to_it_says_so(monkeypatch):
    monkeypatch.setattr(connection, "vendor", "sqlite")
    with pytest.raises(CommandError, match="there is nothing to listen to"):
        call_command("sync_automation_cache")


@pytest.mark.parametrize("statement", ["UPDATE automations_account SET id = id", "DELETE FROM automations_automation"])
def test_a_change_from_a_session_with_another_search_path_does_not_fail(shop, statement):
    with psycopg.connect(database_url(), autocommit=True) as sql:
        sql.execute("SET search_path TO pg_catalog")
        sql.execute(statement.replace("automations_", "public.automations_", 1))
    assert Account.objects.exists()
