"""`manage.py fake_graph` as it is typed: a process of its own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from automations.fake_graph.faults import FAULTS


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_cleanly(name):
    command = [sys.executable, "manage.py", "fake_graph", "--port", "0", "--latency-ms", "0"]
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        url = line.removeprefix("Fake Graph API on ").strip()
        with urllib.request.urlopen(url) as response:
            assert response.status == 200
        process.send_signal(name)

        assert process.wait(timeout=10) == 0
        assert (process.stdout.read(), process.stderr.read()) == ("", "")


def test_a_busy_port_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"cannot listen on port {port}: Address already in use; try --port 0"):
            call_command("fake_graph", port=port)


@pytest.mark.parametrize("number", ["-1", "65536", "x"])
def test_a_number_that_is_no_port_is_one_clear_error(number):
    with pytest.raises(CommandError, match="--port"):
        call_command("fake_graph", f"--port={number}")


@pytest.mark.parametrize("spec", ["nonsense", "hang:times", "hang:times=many", "hang:colour=red"])
def test_a_wrong_fault_is_one_clear_error(spec):
    with pytest.raises(CommandError, match="--fault"):
        call_command("fake_graph", "--fault", spec)


def test_help_lists_every_fault(capsys):
    with pytest.raises(SystemExit):
        call_command("fake_graph", "--help", stdout=StringIO())

    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown and fault.description in shown for name, fault in FAULTS.items())
