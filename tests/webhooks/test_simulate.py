"""`manage.py simulate` against a server that checks signatures, reads bodies and remembers events, as ours does."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from aiohttp import web
from django.core.management import CommandError, call_command
from django.test import override_settings

from tests.servers import APP_SECRET
from webhooks.intake import Unsigned, admit
from webhooks.load import Plan, Report, deliver, percentile, turns_of
from webhooks.simulation import bodies

ACCOUNT = "17841456778752687"


class Server:
    """Answers as CONTRACT section 3 says; `broken` is what it does instead, if anything."""

    def __init__(self, broken: web.Response | None = None) -> None:
        self.broken = broken
        self.url = ""
        self.seen: set[str] = set()
        self.posts: list[tuple[float, bytes]] = []
        self.in_flight = self.most_in_flight = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            return self.broken or self.take(request, await request.read())
        finally:
            self.in_flight -= 1

    def take(self, request: web.BaseRequest, body: bytes) -> web.Response:
        assert (request.method, request.path) == ("POST", "/api/webhooks/instagram")
        self.posts.append((time.monotonic(), body))
        try:
            batch = admit(body, request.headers.get("X-Hub-Signature-256", "").encode())
        except Unsigned:
            return web.json_response({}, status=401)
        new = {job.id for job in batch.jobs} - self.seen
        self.seen |= new
        counts = {
            "accepted": len(new),
            "duplicate": len(batch.jobs) - len(new),
            "ignored": sum(batch.ignored.values()),
        }
        return web.json_response(counts)

    @contextmanager
    def running(self) -> Iterator[Server]:
        """In a thread, since the command runs a loop of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        runner = asyncio.run_coroutine_threadsafe(self.start(), loop).result()
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def start(self) -> web.ServerRunner:
        runner = web.ServerRunner(web.Server(self.answer, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner


def simulate(server: Server, *arguments: str) -> tuple[str, str]:
    """What it printed, and the error it ended with ("" for none)."""
    output = StringIO()
    try:
        call_command("simulate", "--url", server.url, "--rate", "0", *arguments, stdout=output)
    except CommandError as error:
        return output.getvalue(), str(error)
    return output.getvalue(), ""


def counted(output: str) -> dict[str, int]:
    return {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)", output, re.MULTILINE)}


def test_all_of_it_arrives_signed_and_is_summed_up():
    with Server().running() as server:
        output, error = simulate(server, "--count", "200", "--duplicates", "0.2")

    said = counted(output)
    [events] = map(int, re.findall(r"(\d+) events", output))
    assert error == ""
    assert (said["sent"], len(server.posts)) == (200, 200)
    assert said["accepted"] == len(server.seen)
    assert said["accepted"] + said["duplicate"] + said["ignored"] == events
    assert said["duplicate"] > 0
    assert said["refused"] == 0
    assert re.search(r"to 200 +p50 \d+\.\d ms, p95 \d+\.\d ms, p99 \d+\.\d ms", output)


def test_the_same_seed_is_all_duplicates_the_second_time():
    with Server().running() as server:
        first = counted(simulate(server, "--count", "50", "--seed", "3")[0])
        second = counted(simulate(server, "--count", "50", "--seed", "3")[0])

    assert first["accepted"] > 0
    assert second["accepted"] == 0
    assert second["duplicate"] == first["accepted"] + first["duplicate"]


def test_two_runs_without_a_seed_are_new_traffic():
    with Server().running() as server:
        runs = [counted(simulate(server, "--count", "20", "--duplicates", "0")[0]) for _ in range(2)]

    assert [run["duplicate"] for run in runs] == [0, 0]


def test_the_accounts_and_the_mix_can_be_chosen():
    with Server().running() as server:
        simulate(server, "--count", "20", "--accounts", "1, 2", "--mix", "dm=1")

    for _, body in server.posts:
        assert re.search(rb'"id":"[12]","time":', body)
        assert b'"messaging":' in body


def test_a_wrong_secret_is_told_as_refused():
    with Server().running() as server:
        output, error = simulate(server, "--count", "5", "--secret", "not the server's")

    assert "refused    HTTP 401: 5" in output
    assert error == "5 of 5 POSTs were refused"


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (web.Response(status=503), "HTTP 503: 1"),
        (web.Response(status=307, headers={"Location": "/"}), "HTTP 307: 1"),
        (web.Response(text="<html>"), "200 without counts: 1"),
        (web.Response(text="[]"), "200 without counts: 1"),
    ],
)
def test_an_answer_out_of_contract_is_told_as_refused(broken, told):
    with Server(broken).running() as server:
        output, error = simulate(server, "--count", "1")

    assert f"refused    {told}" in output
    assert error == "1 of 1 POSTs were refused"


def test_nobody_listening_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"

    with pytest.raises(CommandError, match=f"nothing answers at {url} .*; start it with make run"):
        call_command("simulate", "--url", url, stdout=StringIO())


@override_settings(INSTAGRAM_APP_SECRET=[])
def test_the_secret_that_the_server_made_is_found(tmp_path):
    (tmp_path / "instagram_app_secret").write_text(f"{APP_SECRET}\n")

    with Server().running() as server:
        with override_settings(VAR_DIR=tmp_path / "elsewhere"):
            assert simulate(server, "--count", "1")[1].startswith("no app secret: pass --secret, or set")
        with override_settings(VAR_DIR=tmp_path, INSTAGRAM_APP_SECRET=[]):
            output, _ = simulate(server, "--count", "1")

    assert counted(output)["sent"] == 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--url", "127.0.0.1:8000"),
        ("--url", "http://"),
        ("--mix", "dm"),
        ("--duplicates", "2"),
        ("--duplicates", "x"),
        ("--rate", "-1"),
        ("--count", "0"),
        ("--connections", "0"),
        ("--accounts", " , "),
    ],
)
def test_a_wrong_argument_is_one_clear_error(argument, value):
    with pytest.raises(CommandError, match=argument):
        call_command("simulate", f"{argument}={value}")


def run(server: Server, count: int | None, **plan: Any) -> Report:
    async def main() -> Report:
        runner = await server.start()
        report = Report()
        source = bodies(1, {"dm": 1}, [ACCOUNT], count, 0, lambda: 1_755_779_280_123)
        await deliver(
            source, Plan(url=server.url + "/", secret=APP_SECRET, **{"connections": 4, "rate": 0, **plan}), report
        )
        await runner.cleanup()
        return report

    return asyncio.run(main())


def test_the_rate_is_steady_however_slow_the_answers_are():
    source = bodies(1, {"dm": 1}, [ACCOUNT], 5, 0, lambda: 1_755_779_280_123)
    plan = Plan(url="http://127.0.0.1:9", secret=APP_SECRET, rate=200, connections=4)

    due = [at for at, _ in turns_of(source, plan, started=100.0)]

    assert due == pytest.approx([100.0, 100.005, 100.01, 100.015, 100.02])


def test_it_stops_after_its_seconds():
    report = run(Server(), None, seconds=0.1)

    assert report.posts > 0
    assert 0.1 <= report.seconds < 1
    assert len(report.milliseconds) == report.posts


def test_no_more_than_the_given_connections_are_used():
    server = Server()

    run(server, 50, connections=3)

    assert server.most_in_flight <= 3


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([], 50, 0.0), ([7], 99, 7), ([3, 1, 2], 50, 2), (range(1, 101), 95, 95), (range(1, 101), 100, 100)],
)
def test_percentiles(values, percent, expected):
    assert percentile(values, percent) == expected
