"""`manage.py watch_queue`: the snapshot, live."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from rich.console import Console

from queueops import stats, switches
from queueops.jobs import Lane
from queueops.watching import TABS, Watch, sparkline
from tests.product.stack import database_url

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "manage.py", "watch_queue", "--interval", "0.2"]


def rendered(watch, snapshot):
    written = io.StringIO()
    Console(file=written, width=120).print(watch.view(snapshot))
    return written.getvalue()


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([0, 0], "▁▁"), ([0, 7, 14], "▁▅█"), ([5], "█"), ([1] * 100, "█" * 60), ([-3, 6], "▁█")],
)
def test_the_highest_value_is_a_full_bar(values, bars):
    assert sparkline(values) == bars


def test_the_rate_is_what_was_completed_between_two_looks():
    watch = Watch(str)
    for at, completed in ((10.0, 100), (12.0, 300), (13.0, 300)):
        watch.note({"ledger": {"completed": completed}}, at)

    assert watch.rates == [100.0, 0.0]


def test_a_redis_that_is_away_is_a_gap_and_one_that_was_emptied_starts_anew():
    watch = Watch(str)
    for at, completed in ((1.0, 100), (2.0, None), (3.0, 300), (4.0, 5), (5.0, 6)):
        watch.note({"ledger": {"completed": completed}}, at)

    assert watch.rates == [1.0]


@pytest.mark.parametrize(
    ("keys", "tab"), [("", 0), ("2", 1), ("4", 3), ("9", 0), ("0", 0), ("x", 0), (["right"], 1), (["left"], 3)]
)
def test_keys_switch_the_tabs(keys, tab):
    watch = Watch(str)

    assert all(watch.press(key) for key in keys)
    assert watch.tab == tab


@pytest.mark.parametrize(
    ("keys", "ordered"),
    [
        ("py", [("high", "paused")]),
        (["down", "down", "p", "y"], [("low", "paused")]),
        (["up", "p", "y"], [("low", "paused")]),
        ("sdy", [("mode", "direct")]),
        ("suy", [("mode", "default")]),
        ("p", []),
        ("pn", []),
        ("pq", []),
        ("sx", []),
        ("sd2", []),
        ("y", []),
        (["p", "", "y"], [("high", "paused")]),  # nothing pressed for a second
    ],
)
def test_a_key_orders_a_switch_and_only_a_y_carries_it_out(keys, ordered):
    done = []

    def carry_out(order) -> str:
        done.append((order.subject, order.to))
        return "It is done."

    watch = Watch(carry_out)

    assert all(watch.press(key) for key in keys)

    assert done == ordered
    assert (watch.asking.said == "It is done.") == bool(ordered)
    assert watch.tab == 0


@pytest.mark.usefixtures("redis", "not_switched")
def test_a_lane_that_is_paused_is_resumed_by_the_same_key():
    switches.pause(Lane.HIGH, "", "maria.example")
    watch = Watch(str)

    watch.press("p")

    assert watch.asking.said.startswith("Resume lane high?")


def test_q_stops():
    assert not Watch(str).press("q")


@pytest.mark.parametrize(
    ("tab", "shown"), [("lanes", "oldest"), ("ledger", "unexplained"), ("workers", "heartbeat"), ("cache", "last hour")]
)
@pytest.mark.django_db
def test_every_tab_shows_its_part_also_while_redis_is_away(redis, tab, shown):
    watch = Watch(str)
    watch.tab = TABS.index(tab)

    assert shown in rendered(watch, stats.snapshot())
    assert shown in rendered(watch, stats.away())


@pytest.mark.parametrize("interval", ["0", "-1", "9999", "nan"])
def test_an_interval_that_makes_no_sense_is_refused(interval):
    with pytest.raises(CommandError, match=r"from 0\.1 to 3600 seconds"):
        call_command("watch_queue", "--interval", interval)


@pytest.fixture
def environment(threads):
    addresses = {"REDIS_URL": django_settings.QUEUE_REDIS_URL, "DATABASE_URL": database_url()}
    return {**os.environ, **addresses, "DEBUG": "true", "TERM": "xterm"}


def test_without_a_terminal_it_prints_one_snapshot_after_the_other_until_it_is_interrupted(redis, put, environment):
    put("note", "a")
    with subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        # A suite that runs in a shell's background ignores it, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        try:
            seen = 0
            while seen < 2:
                line = running.stdout.readline()
                assert line, "it ended by itself"
                assert "\x1b" not in line
                seen += "unexplained" in line
            running.send_signal(signal.SIGINT)
            running.stdout.read()
            assert running.wait(30) == 0
        finally:
            running.kill()


def test_in_a_terminal_keys_switch_the_tab_pause_a_lane_and_give_the_terminal_back(
    redis, put, environment, not_switched
):
    ours, theirs = pty.openpty()
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        try:
            read_until(ours, "Lanes")
            os.write(ours, b"2")
            read_until(ours, "unexplained")
            os.write(ours, b"p")
            read_until(ours, "Pause lane high?")
            os.write(ours, b"y")
            read_until(ours, "lane high: paused (by ")
            os.write(ours, b"q")
            read_until(ours, "\x1b[?1049l")  # the screen as it was before
            assert running.wait(30) == 0
        finally:
            running.kill()
            os.close(ours)


def read_until(fd, text):
    seen = ""
    while text not in seen:
        seen += os.read(fd, 65536).decode(errors="replace")
