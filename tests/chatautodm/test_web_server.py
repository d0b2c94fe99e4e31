"""The web server as it is started: gunicorn with gunicorn.conf.py, real processes and sockets."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from tests.servers import APP_SECRET
from webhooks.signature import sign

GUNICORN = [str(Path(sys.executable).with_name("gunicorn")), "-c", str(settings.BASE_DIR / "gunicorn.conf.py")]
BODY = (settings.BASE_DIR / "tests/payloads/dm_echo.json").read_bytes()


def start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Started from another folder: it must find the project by itself."""
    return subprocess.Popen(GUNICORN, cwd=folder, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


def lines_until(server: subprocess.Popen[str], ending: str) -> list[str]:
    assert server.stderr is not None
    lines = []
    for line in server.stderr:
        lines.append(line)
        if ending in line:
            return lines
    pytest.fail("".join(lines))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    server = start(tmp_path_factory.mktemp("web"), WEB_BIND=f"127.0.0.1:{free}", WEB_CONCURRENCY="1")
    lines_until(server, "startup complete")
    yield free
    server.send_signal(signal.SIGTERM)
    _, rest = server.communicate(timeout=30)
    assert server.returncode == 0, rest


def post(port: int, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/api/webhooks/instagram", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_its_file_says_of_a_wrong_number_of_processes_in_one_line_how_to_mend_it(tmp_path: Path):
    """`make web` runs it first; gunicorn itself would fail before it looks at it."""
    asked = [sys.executable, str(settings.BASE_DIR / "gunicorn.conf.py")]
    wrong = {**os.environ, "WEB_CONCURRENCY": "abc"}
    done = subprocess.run(asked, cwd=tmp_path, env=wrong, capture_output=True, text=True, timeout=60, check=False)

    (line,) = done.stderr.splitlines()
    assert "WEB_CONCURRENCY" in line
    assert done.returncode == 1
    right = {**os.environ, "WEB_CONCURRENCY": "2"}
    assert subprocess.run(asked, cwd=tmp_path, env=right, timeout=60, check=False).returncode == 0


def test_it_takes_a_signed_webhook(port: int):
    status, answer = post(port, BODY, **{"X-Hub-Signature-256": sign(BODY, APP_SECRET)})
    assert (status, json.loads(answer)) == (200, {"accepted": 0, "duplicate": 0, "ignored": 1})


def test_it_answers_a_body_that_is_too_large_though_all_of_it_is_sent(port: int):
    assert post(port, b"x" * 9_000_000)[0] == 413


def test_it_answers_before_the_body_when_too_much_is_announced(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /api/webhooks/instagram HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_it_outlives_a_client_that_goes_away(port: int):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(b"POST /api/webhooks/instagram HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\ncut")
    assert post(port, b"{}")[0] == 401


def test_it_serves_several_requests_on_one_connection(port: int):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(3):
        connection.request("POST", "/api/webhooks/instagram", BODY, {"X-Hub-Signature-256": sign(BODY, APP_SECRET)})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert answer.headers["server"] is None
    connection.close()


def test_it_answers_what_is_in_flight_before_it_stops(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free: int = probe.getsockname()[1]
    server = start(tmp_path, WEB_BIND=f"127.0.0.1:{free}", WEB_CONCURRENCY="1")
    lines_until(server, "startup complete")
    signature = sign(BODY, APP_SECRET)
    head = f"POST /api/webhooks/instagram HTTP/1.1\r\nHost: x\r\nX-Hub-Signature-256: {signature}\r\n"
    whole = head.encode() + b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
    with (
        socket.create_connection(("127.0.0.1", free), timeout=20) as idle,
        socket.create_connection(("127.0.0.1", free), timeout=20) as half,
    ):
        half.sendall(whole)
        assert half.recv(1000).startswith(b"HTTP/1.1 200 ")
        half.sendall(whole[:-1])
        server.terminate()
        lines_until(server, "Waiting for connections to close")
        assert idle.recv(100) == b""
        half.sendall(whole[-1:])
        last = half.recv(1000)
    assert last.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close\r\n" in last
    _, rest = server.communicate(timeout=30)
    assert server.returncode == 0, rest


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEB_CONCURRENCY", "0", "WEB_CONCURRENCY='0' must be a whole number of at least 1"),
        ("USE_QUEUE_SYSTEM", "perhaps", "USE_QUEUE_SYSTEM='perhaps' must be true or false"),
    ],
)
def test_a_wrong_value_ends_the_start_with_one_line(tmp_path: Path, name: str, value: str, said: str):
    server = start(tmp_path, **{name: value})
    _, output = server.communicate(timeout=30)
    assert server.returncode == 1
    assert output.startswith(said)
    assert output.count("\n") == 1


def test_it_says_at_the_start_that_it_would_refuse_every_webhook(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        server = start(tmp_path, WEB_BIND=bind, INSTAGRAM_APP_SECRET="", INSTAGRAM_VERIFY_TOKEN="")
        said = "".join(lines_until(server, "INSTAGRAM_VERIFY_TOKEN is not set"))
        assert "INSTAGRAM_APP_SECRET is not set" in said
        server.terminate()
        server.communicate(timeout=30)
