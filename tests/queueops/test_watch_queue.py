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

from queueops import stats
from queueops.watching import TABS, Watch, sparkline

ROOT = Path(__file__).resolve().parent.parent.parent
COMMAND = [sys.executable, "manage.py", "watch_queue", "--interval", "0.2"]


def rendered(watch, snapshot):
    console = Console(file=io.StringIO(), width=120)
    console.print(watch.view(snapshot))
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("values", "bars"),
    [([], ""), ([0, 0], "▁▁"), ([0, 7, 14], "▁▅█"), ([5], "█"), ([1] * 100, "█" * 60), ([-3, 6], "▁█")],
)
def test_the_highest_value_is_a_full_bar(values, bars):
    assert sparkline(values) == bars


def test_the_rate_is_what_was_completed_between_two_looks():
    watch = Watch()
    for at, completed in ((10.0, 100), (12.0, 300), (13.0, 300)):
        watch.note({"ledger": {"completed": completed}}, at)

    assert watch.rates == [100.0, 0.0]


def test_a_redis_that_is_away_is_a_gap_and_one_that_was_emptied_starts_anew():
    watch = Watch()
    for at, completed in ((1.0, 100), (2.0, None), (3.0, 300), (4.0, 5), (5.0, 6)):
        watch.note({"ledger": {"completed": completed}}, at)

    assert watch.rates == [1.0]


@pytest.mark.parametrize(
    ("keys", "tab"), [("", 0), ("2", 1), ("4", 3), ("9", 0), ("0", 0), ("x", 0), (["right"], 1), (["left"], 3)]
)
def test_keys_switch_the_tabs(keys, tab):
    watch = Watch()

    assert all(watch.press(key) for key in keys)
    assert watch.tab == tab


def test_q_stops():
    assert not Watch().press("q")


@pytest.mark.parametrize(
    ("tab", "shown"), [("lanes", "oldest"), ("ledger", "unexplained"), ("workers", "heartbeat"), ("cache", "last hour")]
)
def test_every_tab_shows_its_part_also_while_redis_is_away(redis, tab, shown):
    watch = Watch()
    watch.tab = TABS.index(tab)

    assert shown in rendered(watch, stats.snapshot())
    assert shown in rendered(watch, stats.away())


@pytest.mark.parametrize("interval", ["0", "-1", "9999", "nan"])
def test_an_interval_that_makes_no_sense_is_refused(interval):
    with pytest.raises(CommandError, match=r"from 0\.1 to 3600 seconds"):
        call_command("watch_queue", "--interval", interval)


@pytest.fixture
def environment():
    return {**os.environ, "REDIS_URL": django_settings.QUEUE_REDIS_URL, "DEBUG": "true", "TERM": "xterm"}


def test_without_a_terminal_it_prints_one_snapshot_after_the_other_until_it_is_interrupted(redis, put, environment):
    put("note", "a")
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
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


def test_in_a_terminal_keys_switch_the_tab_and_q_gives_the_terminal_back(redis, put, environment):
    ours, theirs = pty.openpty()
    with subprocess.Popen(COMMAND, cwd=ROOT, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        try:
            read_until(ours, "Lanes")
            os.write(ours, b"2")
            read_until(ours, "unexplained")
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
