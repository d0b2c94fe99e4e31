"""The switches: who switched what, until when, and that every process follows."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from rq.suspension import WORKERS_SUSPENDED

from queueops import audit, connections, switches
from queueops.jobs import Lane
from queueops.models import AuditEntry
from queueops.switches import Mode

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis", "not_switched")]


def mode_of_another_process() -> str:
    code = (
        "import django; django.setup()\n"
        "import sys\n"
        "from queueops import switches\n"
        "print(switches.current().mode, flush=True)\n"
        "for line in sys.stdin:\n"
        "    while switches.current().mode != line.strip(): pass\n"
        "    print(switches.current().mode, flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == Mode.QUEUE
        switches.set_mode(Mode.PAUSED, "maintenance", "maria.example")
        process.stdin.write(f"{Mode.PAUSED}\n")
        process.stdin.flush()
        return process.stdout.readline().strip()
    finally:
        process.kill()
        process.communicate()


def output(*args: str) -> str:
    stdout = io.StringIO()
    call_command("queue_mode", *args, stdout=stdout)
    return stdout.getvalue()


@pytest.mark.parametrize(("uses_queue", "mode"), [(True, Mode.QUEUE), (False, Mode.DIRECT)])
def test_untouched_the_environment_says_which_mode_it_is(settings, uses_queue, mode):
    settings.USE_QUEUE_SYSTEM = uses_queue

    assert switches.current().mode is mode


def test_a_switched_mode_overrides_the_environment_until_it_is_put_back(settings):
    settings.USE_QUEUE_SYSTEM = False
    switches.set_mode(Mode.PAUSED, "maintenance", "maria.example")
    assert switches.current().mode is Mode.PAUSED

    assert switches.reset_mode()
    assert switches.current().mode is Mode.DIRECT
    assert not switches.reset_mode()


def test_another_process_follows_without_a_restart():
    assert mode_of_another_process() == Mode.PAUSED


def test_a_pause_of_one_lane_is_none_of_the_others():
    switches.pause(Lane.LOW, "viral post", "maria.example")

    assert [lane for lane in Lane if switches.current().is_paused(lane)] == [Lane.LOW]
    assert switches.resume(Lane.LOW)
    assert not any(switches.current().is_paused(lane) for lane in Lane)


def test_paused_mode_pauses_every_lane():
    switches.set_mode(Mode.PAUSED, "", "maria.example")

    assert all(switches.current().is_paused(lane) for lane in Lane)


def test_a_switch_with_an_end_ends_by_itself():
    switches.pause(Lane.LOW, "", "maria.example", seconds=-1)

    assert not switches.current().is_paused(Lane.LOW)
    assert switches.current().pause_stories() == []


def test_it_is_remembered_who_why_and_since_when():
    before = time.time()
    switches.set_mode(Mode.DIRECT, "Valkey is being moved", "maria.example", seconds=60)

    switch = switches.current().get(switches.MODE)

    assert (switch.by, switch.reason) == ("maria.example", "Valkey is being moved")
    assert before <= switch.at <= switch.until - 60 + 1e-6


def test_while_redis_is_away_what_was_seen_last_goes_on_holding(settings, monkeypatch):
    switches.set_mode(Mode.PAUSED, "", "maria.example")
    with monkeypatch.context() as away:
        away.setattr(settings, "QUEUE_REDIS_URL", "unix:///nowhere/valkey.sock")
        away.setattr(connections, "_impatient", None)
        switches.look()
        assert switches.current().mode is Mode.PAUSED


def test_garbage_in_redis_changes_nothing(redis):
    switches.set_mode(Mode.PAUSED, "", "maria.example")
    redis.hset(switches.KEY, "mode", "not json")
    switches.look(redis)

    assert switches.current().mode is Mode.PAUSED


def test_the_command_switches_and_says_what_holds():
    assert output().strip() == "mode: queue"

    assert "mode: paused (by " in output("paused", "--reason", "maintenance", "--minutes", "10")
    shown = output()
    switch: Any = switches.current().get(switches.MODE)
    until = datetime.fromtimestamp(switch.until, UTC)
    assert f"until {until:%Y-%m-%d %H:%M:%S} UTC: maintenance" in shown
    assert output("default").strip() == "mode: queue"


def test_rqs_suspension_pauses_every_lane_and_is_said(redis):
    redis.set(WORKERS_SUSPENDED, 1)

    assert "all workers: suspended by RQ" in output()
    assert all(switches.current().is_paused(lane) for lane in Lane)


def test_what_the_command_switches_is_in_the_audit_log_under_the_shells_user(monkeypatch):
    monkeypatch.setenv("LOGNAME", "maria")
    output("paused", "--lane", "low", "--reason", "viral post", "--minutes", "10")
    output("queue", "--lane", "low")
    output("queue", "--lane", "low")  # nothing to resume: no entry
    output("direct")
    output("default")

    entries = list(AuditEntry.objects.filter(number__gt=0).order_by("number"))
    assert [(entry.action, entry.details["to"]) for entry in entries] == [
        ("pause_lane", "paused"),
        ("resume_lane", "resumed"),
        ("switch_mode", "direct"),
        ("switch_mode", "default"),
    ]
    first = entries[0]
    assert (first.who, first.who_id, first.through, first.reason) == ("maria (shell)", "", "command", "viral post")
    assert first.details["minutes"] == 10
    assert audit.trail("queueops.console", ["lane:low"]) == entries[1::-1]


def test_with_the_database_away_it_is_switched_and_said_that_it_was_not_recorded(monkeypatch):
    def refuse(act):
        raise OperationalError("no database")

    monkeypatch.setattr(audit, "record", refuse)
    said = io.StringIO()
    call_command("queue_mode", "paused", stdout=io.StringIO(), stderr=said)

    assert "audit log could not be written" in said.getvalue()
    assert switches.current().mode is Mode.PAUSED


def test_beside_a_frozen_redis_the_first_look_is_short(valkey):
    """The client for work would wait 15 s, in the event loop of a web server."""
    code = "import django; django.setup(); from queueops import switches; print(switches.current().mode)"
    environment = {**os.environ, "REDIS_URL": valkey.url}
    valkey.freeze()
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=connections.ANSWER_SECONDS,
        )
    finally:
        valkey.thaw()
    assert done.stdout.strip() == Mode.QUEUE


def test_the_command_pauses_one_lane_and_resumes_it():
    assert "lane low: paused" in output("paused", "--lane", "low")
    assert "lane low" not in output("queue", "--lane", "low")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [(("direct", "--lane", "low"), "for all of them"), (("paused", "--minutes", "0"), "more than 0")],
)
def test_what_makes_no_sense_is_refused(arguments, why):
    with pytest.raises(CommandError, match=why):
        output(*arguments)


def test_without_redis_the_command_says_that_nothing_was_switched(settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    with pytest.raises(CommandError, match="nothing was switched"):
        output("paused")
