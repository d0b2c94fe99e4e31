"""What only a connection can be given: pieces, several requests at once, clients that are slow or go away."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import itertools
import json
import logging
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import Settings
from redis import Redis
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server

from queueops import ledger
from tests.servers import VERIFY_TOKEN
from tests.webhooks.bodies import body, comment, entry, message
from tests.webhooks.doors import PATH, Reply, ServerDoor, Web, read_reply, request, serve, signed
from webhooks import intake, protocol

ECHO = body(entry(messaging=[message(is_echo=True)]))
WEBHOOK = request(ECHO, headers=signed(ECHO))
IGNORED_ONE = {"accepted": 0, "duplicate": 0, "ignored": 1}

UVICORN_READ = "a8dbc1bef4b8eb64d6b917eb118c8a73e0644d6347a250e6da6c72fdc083ea6f"  # of uvicorn 0.54

Scenario = Callable[[Web], Awaitable[Any]]


@pytest.fixture
def play(server_door: ServerDoor) -> Callable[..., Any]:
    """Run a scenario on the door's loop, with a server of its own when it asks for options."""

    async def with_own(scenario: Scenario, options: dict[str, Any]) -> Any:
        web = await serve(**options)
        try:
            return await scenario(web)
        finally:
            await web.close()

    def play(scenario: Scenario, **options: Any) -> Any:
        return server_door.runner.run(with_own(scenario, options))

    return play


async def replies(reader: asyncio.StreamReader, count: int) -> list[Reply]:
    return [await read_reply(reader) for _ in range(count)]


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes the connection; waits for it."""
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


def comments(*names: str) -> list[bytes]:
    bodies = [body(entry(changes=[comment(id=name)])) for name in names]
    return [request(one, headers=signed(one)) for one in bodies]


# In pieces


def test_it_reads_a_request_cut_anywhere(server_door: ServerDoor):
    for cut in range(len(WEBHOOK)):
        (reply,) = _fed(server_door, WEBHOOK[:cut], WEBHOOK[cut:])
        assert (cut, json.loads(reply.body)) == (cut, IGNORED_ONE)


@hypothesis_settings(max_examples=50)
@given(cuts=st.lists(st.integers(0, 3 * len(WEBHOOK)), max_size=8))
def test_it_answers_several_requests_cut_anywhere_in_their_order(server_door: ServerDoor, cuts: list[int]):
    unsigned = request(b"{}")
    stream = WEBHOOK + unsigned + WEBHOOK
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(edges)]
    assert [reply.status for reply in _fed(server_door, *pieces, count=3)] == [200, 401, 200]


def _fed(door: ServerDoor, *pieces: bytes, count: int = 1) -> list[Reply]:
    """The answers to a stream that comes in these pieces, each read by itself."""

    async def scenario() -> list[Reply]:
        reader, writer = await door.web.connect()
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        found = await replies(reader, count)
        writer.close()
        await writer.wait_closed()
        return found

    return door.runner.run(scenario())


def test_it_takes_a_chunked_body(server_door: ServerDoor):
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n".encode()
    for name, value in signed(ECHO).items():
        head += f"{name}: {value}\r\n".encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in ECHO)
    assert server_door.runner.run(server_door.web.ask(head + b"\r\n" + chunks + b"0\r\n\r\n")).status == 200


def test_it_asks_for_the_body_of_who_waits_to_be_asked(server_door: ServerDoor):
    async def scenario() -> tuple[bytes, Reply]:
        reader, writer = await server_door.web.connect()
        head, _, rest = request(ECHO, headers={**signed(ECHO), "Expect": "100-continue"}).partition(b"\r\n\r\n")
        writer.write(head + b"\r\n\r\n")
        asked = await reader.readuntil(b"\r\n\r\n")
        writer.write(rest)
        reply = await read_reply(reader)
        writer.close()
        return asked, reply

    asked, reply = server_door.runner.run(scenario())
    assert asked.startswith(b"HTTP/1.1 100 ")
    assert reply.status == 200


# Several on one connection


def test_it_keeps_the_connection_for_the_next_request(play: Callable[..., Any]):
    async def scenario(web: Web) -> list[Reply]:
        reader, writer = await web.connect()
        found = []
        for _ in range(3):
            writer.write(WEBHOOK)
            found.append(await read_reply(reader))
        writer.close()
        return found

    for reply in play(scenario):
        assert json.loads(reply.body) == IGNORED_ONE
        assert "connection" not in reply.headers
        assert reply.headers["date"]


def test_it_answers_in_the_order_of_asking_whoever_answers(play: Callable[..., Any], redis: Redis):
    query = f"hub.mode=subscribe&hub.verify_token={VERIFY_TOKEN}&hub.challenge=42"
    first, second = comments("c_1", "c_2")
    stream = [first, request(method="GET", query=query), request(method="PUT"), request(b"{}"), first, second]

    async def scenario(web: Web) -> list[Reply]:
        reader, writer = await web.connect()
        writer.write(b"".join(stream))
        found = await replies(reader, len(stream))
        writer.close()
        assert web.state.total_requests == len(stream)
        return found

    found = play(scenario)
    assert [reply.status for reply in found] == [200, 200, 405, 401, 200, 200]
    assert [json.loads(found[n].body)["accepted"] for n in (0, 4, 5)] == [1, 0, 1]
    assert found[1].body == b"42"


@pytest.mark.parametrize(
    "raw",
    [
        request(ECHO, headers={**signed(ECHO), "Connection": "close"}),
        request(ECHO, headers=signed(ECHO), version="1.0"),
        request(ECHO, headers={"Connection": "close"}),
    ],
)
def test_it_closes_after_the_last_request_and_takes_nothing_more(play: Callable[..., Any], redis: Redis, raw: bytes):
    async def scenario(web: Web) -> Reply:
        reader, writer = await web.connect()
        writer.write(raw + comments("c_late")[0])
        reply = await read_reply(reader)
        assert await ended(reader)
        writer.close()
        return reply

    assert play(scenario).headers["connection"] == "close"
    assert not redis.keys("rq:job:*")


def test_concurrent_requests_share_a_round_trip(play: Callable[..., Any], redis: Redis):
    async def scenario(web: Web) -> list[Reply]:
        await web.ask(WEBHOOK)
        redis.config_resetstat()
        redis.client_pause(300)  # milliseconds in which the others come, too, however quick a round trip is
        return await asyncio.gather(*(web.ask(raw) for raw in comments(*(f"c_{n}" for n in range(50)))))

    assert all(json.loads(reply.body)["accepted"] == 1 for reply in play(scenario))
    assert redis.info("commandstats")["cmdstat_evalsha"]["calls"] < 50
    assert ledger.read(redis).received == 51


# Too much, too long, gone


def test_it_answers_before_the_body_when_too_much_is_announced(play: Callable[..., Any]):
    async def scenario(web: Web) -> Reply:
        return await web.ask(request(headers={"Content-Length": "8388609"}))

    assert play(scenario).status == 413


def test_the_connection_outlives_a_body_that_is_too_large(play: Callable[..., Any], settings: Settings):
    settings.WEBHOOK_MAX_BODY_BYTES = len(ECHO)
    chunked = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + (b"%x\r\n%b\r\n" % (len(ECHO), ECHO)) * 3
        + b"0\r\n\r\n"
    )

    async def scenario(web: Web) -> list[Reply]:
        reader, writer = await web.connect()
        writer.write(request(ECHO + b" ", headers=signed(ECHO + b" ")) + WEBHOOK + chunked + WEBHOOK)
        found = await replies(reader, 4)
        writer.close()
        return found

    assert [reply.status for reply in play(scenario)] == [413, 200, 413, 200]


def test_a_client_that_goes_away_leaves_nothing_behind(play: Callable[..., Any], redis: Redis):
    async def scenario(web: Web) -> None:
        whole = comments("c_1")[0]
        for part in (b"", whole[:20], whole[:-5], whole):
            _, writer = await web.connect()
            writer.write(part)
            await until(lambda: bool(web.state.connections))
            writer.transport.abort()
            await until(lambda: not web.state.connections)
        assert (await web.ask(WEBHOOK)).status == 200

    play(scenario)


@pytest.mark.parametrize("sent", [WEBHOOK[:10], WEBHOOK[:-1], WEBHOOK + WEBHOOK[:-1]])
def test_a_request_that_does_not_end_is_given_up(
    play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, sent: bytes
):
    monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 0.02)

    async def scenario(web: Web) -> None:
        reader, writer = await web.connect()
        writer.write(sent)
        await replies(reader, sent.count(WEBHOOK))
        assert await ended(reader)
        writer.close()

    play(scenario)


def test_a_connection_without_a_request_is_closed_like_one_that_had_one(play: Callable[..., Any]):
    async def scenario(web: Web) -> None:
        reader, writer = await web.connect()
        assert await ended(reader)
        writer.close()
        reader, writer = await web.connect()
        writer.write(WEBHOOK)
        assert (await read_reply(reader)).status == 200
        assert await ended(reader)
        writer.close()

    play(scenario, timeout_keep_alive=0.02)


def test_a_client_that_takes_no_answers_is_no_longer_read_and_then_given_up(
    play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(protocol, "PATIENCE_SECONDS", 0.05)

    async def scenario(web: Web) -> None:
        _, writer = await web.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await until(lambda: bool(web.state.connections))
        (connection,) = web.state.connections
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer.write(request(b"{}") * 2000)
        await until(lambda: not web.state.connections)
        assert web.state.total_requests < 2000
        writer.transport.abort()

    play(scenario)


def test_a_thousand_idle_connections_cost_little_and_keep_nobody_waiting(play: Callable[..., Any]):
    async def scenario(web: Web) -> None:
        idle = [await web.connect() for _ in range(1000)]
        await until(lambda: len(web.state.connections) == 1000)
        assert (await web.ask(WEBHOOK)).status == 200
        for _, writer in idle:
            writer.close()
        await until(lambda: not web.state.connections)

    play(scenario)


def test_more_connections_than_the_limit_are_told_to_come_again(play: Callable[..., Any]):
    async def scenario(web: Web) -> None:
        _, first = await web.connect()
        await until(lambda: len(web.state.connections) == 1)
        assert (await web.ask(WEBHOOK)).status == 503
        first.close()
        await until(lambda: not web.state.connections)
        assert (await web.ask(WEBHOOK)).status == 200

    play(scenario, limit_concurrency=2)


# The end


def test_a_stopping_server_answers_what_it_has_and_closes(play: Callable[..., Any], redis: Redis):
    async def scenario(web: Web) -> Reply:
        idle_reader, idle = await web.connect()
        reader, writer = await web.connect()
        writer.write(comments("c_1")[0])
        await until(lambda: any(one.cycle is not None for one in web.state.connections))
        for connection in list(web.state.connections):
            connection.shutdown()
        assert await ended(idle_reader)
        reply = await read_reply(reader)
        assert await ended(reader)
        idle.close()
        writer.close()
        return reply

    reply = play(scenario)
    assert json.loads(reply.body)["accepted"] == 1
    assert reply.headers["connection"] == "close"


def test_an_error_of_ours_is_logged_and_ends_the_connection(
    play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def broken(body: bytes, signature: bytes | None) -> None:
        raise ZeroDivisionError("made up")

    monkeypatch.setattr(intake, "admit", broken)

    async def scenario(web: Web) -> None:
        reader, writer = await web.connect()
        writer.write(WEBHOOK)
        assert await ended(reader)
        writer.close()

    with caplog.at_level(logging.ERROR):
        play(scenario)
    assert "made up" in caplog.text


def test_what_is_not_http_is_told_so(play: Callable[..., Any], caplog: pytest.LogCaptureFixture):
    async def scenario(web: Web) -> bytes:
        reader, writer = await web.connect()
        writer.write(b"\x16\x03\x01 no request\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    assert play(scenario).startswith(b"HTTP/1.1 400 ")


# What it relies on


def test_uvicorn_is_the_one_that_was_read():
    relied_on = (
        inspect.getsource(HttpToolsProtocol) + inspect.getsource(FlowControl) + inspect.getsource(Server.shutdown)
    )
    assert hashlib.sha256(relied_on.encode()).hexdigest() == UVICORN_READ, (
        "uvicorn's HTTP protocol has changed. Compare it with webhooks/protocol.py, which stands in for its cycle: "
        "on_headers_complete, on_body, on_message_complete, on_response_complete, shutdown, connection_lost and the "
        "keep-alive timer. Then put the new digest here."
    )


def test_an_exchange_has_what_uvicorn_looks_for_in_a_cycle():
    looked_for = set(re.findall(r"self\.cycle\.(\w+)", inspect.getsource(HttpToolsProtocol)))
    exchange = protocol.Exchange(True, None, None)
    # `more_body` is set, and `body` grows, only by callbacks that the protocol answers itself for an exchange.
    assert {name for name in looked_for if not hasattr(exchange, name)} == {"more_body"}
