"""`manage.py queue_status`: the snapshot in the terminal, without a web server."""

from __future__ import annotations

import io
import json

import pytest
from django.core.management import CommandError, call_command

from queueops import connections, stats

pytestmark = pytest.mark.django_db


def output(*args: str) -> str:
    stdout = io.StringIO()
    call_command("queue_status", *args, stdout=stdout)
    return stdout.getvalue()


def test_it_prints_lanes_and_ledger(redis, put):
    put("note", "a", "b")

    text = output()

    assert "high" in text
    assert "unexplained" in text
    assert "No worker listens to lane low." in text


def test_json_is_the_snapshot(redis, put):
    put("note", "a")

    printed = json.loads(output("--json"))

    assert printed["queues"]["high"]["waiting"] == 1
    assert printed["ledger"] == stats.snapshot()["ledger"]


def test_without_redis_it_says_so_in_one_line(settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    with pytest.raises(CommandError, match="Redis cannot be reached") as refused:
        output()

    assert "\n" not in str(refused.value)
    assert refused.value.returncode == 1
