"""What the client puts on the wire, and what it makes of what comes back. The server here answers byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import pytest
import uvloop
from django.test import override_settings

from automations.graph import Answer, GraphClient, GraphError, client
from automations.graph_errors import Scope, Verdict
from queueops.errors import Cause

ACCOUNT = "17841456778752687"
TOKEN = "IGAAtestTokenOfMariaExample0123456789"
BODY = {"recipient": {"id": "8422491661125971"}, "message": {"text": "äöå – here you go 🔥"}}
PRIVATE_REPLY = {"recipient": {"comment_id": "17919697626119712"}, "message": {"text": "Here"}}


def http(status: int, body: str, *headers: str) -> bytes:
    lines = [
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        f"Content-Length: {len(body.encode())}",
        *headers,
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def error(message: str = "no", **fields: object) -> str:
    return json.dumps({"error": {"message": message, "type": "OAuthException", **fields}})


class Wire:
    """A server that keeps the requests it read and gives each the same bytes; None: closes, "hang": never answers."""

    def __init__(self, answer: bytes | str | None) -> None:
        self.answer = answer
        self.requests: list[bytes] = []
        self.connections = 0
        self.tasks: list[asyncio.Task[Any]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.tasks.append(cast(Any, asyncio.current_task()))
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
                self.requests.append(head + await reader.readexactly(length))
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                elif self.answer is None:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def run(answer: bytes | str | None, scenario: Callable[[GraphClient, Wire], Awaitable[Any]], **settings: float) -> Any:
    async def main() -> Any:
        wire = Wire(answer)
        server = await asyncio.start_server(wire.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with override_settings(GRAPH_API_URL=url, GRAPH_API_VERSION="v25.0", **settings):
            graph = GraphClient()
            try:
                return await scenario(graph, wire)
            finally:
                await graph.close()
                server.close()
                await server.wait_closed()
                await asyncio.gather(*wire.tasks)

    return asyncio.run(main())


async def send(graph: GraphClient, wire: Wire, body: dict[str, Any] = BODY) -> Answer:
    return await graph.send(f"{ACCOUNT}/messages", body, TOKEN)


async def refused(graph: GraphClient, wire: Wire, body: dict[str, Any] = BODY) -> GraphError:
    with pytest.raises(GraphError) as caught:
        await send(graph, wire, body)
    return caught.value


def test_it_writes_exactly_the_documented_request():
    async def scenario(graph, wire):
        await send(graph, wire)
        return wire.requests

    [request] = run(http(200, "{}"), scenario)

    head, content = request.split(b"\r\n\r\n")
    first, *headers = head.decode().split("\r\n")
    assert first == f"POST /v25.0/{ACCOUNT}/messages HTTP/1.1"
    assert content == ('{"recipient":{"id":"8422491661125971"},"message":{"text":"äöå – here you go 🔥"}}'.encode())
    named = dict(line.split(": ", 1) for line in headers)
    assert named.pop("Host").startswith("127.0.0.1:")
    assert named == {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "application/json",
        "Content-Length": str(len(content)),
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        "User-Agent": "ChatAutoDM",
    }


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ('{"recipient_id":"842","message_id":"aWdf"}', Answer("aWdf", "842")),
        ('{"id":"17919697626119722"}', Answer("17919697626119722", "")),
        ('{"id":17919697626119722}', Answer("17919697626119722", "")),
        ('{"recipient_id":"842"}', Answer("", "842")),
        # 200 means sent, whatever the body is.
        ("", Answer("", "")),
        ("not JSON", Answer("", "")),
        ("[1]", Answer("", "")),
        ('{"message_id":null,"error":null}', Answer("", "")),
        ("x" * 1_000_000, Answer("", "")),
    ],
)
def test_it_reads_the_answer(body, answer):
    assert run(http(200, body), send) == answer


def test_a_200_that_breaks_off_means_sent():
    async def scenario(graph, wire):
        wire.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"
        return await send(graph, wire)

    assert run("hang", scenario, GRAPH_READ_TIMEOUT_SECONDS=0.05) == Answer("", "")


def test_calls_share_connections():
    async def scenario(graph, wire):
        for _ in range(5):
            await send(graph, wire)
        return wire.connections

    assert run(http(200, "{}"), scenario) == 1


def test_it_carries_metas_error_in_full():
    answer = error("Session has expired", code=190, error_subcode=463, fbtrace_id="Abc")

    refusal = run(http(400, answer), refused)

    assert refusal.as_json() == {
        "title": "The account's access token has expired",
        "verdict": "needs_owner",
        "who": "owner",
        "scope": "account",
        "status": 400,
        "code": 190,
        "subcode": 463,
        "message": "Session has expired",
        "wait_seconds": None,
        "trace_id": "Abc",
    }
    assert json.loads(json.dumps(refusal.as_json())) == refusal.as_json()
    assert refusal.cause() == Cause(
        title="The account's access token has expired", verdict="needs_owner", code=190, subcode=463
    )
    assert str(refusal) == "The account's access token has expired: Session has expired"


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (400, error(code=100, error_subcode=2534025), Verdict.PROBABLY_SENT),
        (200, error(code=551), Verdict.REJECT),
        (400, '{"error":"a plain string"}', Verdict.REJECT),
        (400, '{"error":["a list"]}', Verdict.REJECT),
        (400, "not JSON", Verdict.REJECT),
        (401, "", Verdict.REJECT),
        (429, "", Verdict.WAIT),
        (500, "", Verdict.PROBABLY_SENT),
        (502, "<html>Bad gateway</html>", Verdict.PROBABLY_SENT),
        (500, error(code=2, is_transient=True), Verdict.RETRY),
    ],
)
def test_every_other_answer_is_a_graph_error(status, body, verdict):
    assert run(http(status, body), refused).verdict == verdict


def test_a_bare_unknown_error_counts_as_sent_for_private_replies_only():
    async def scenario(graph, wire):
        return [(await refused(graph, wire, body)).verdict for body in (BODY, PRIVATE_REPLY)]

    assert run(http(500, error(code=1)), scenario) == [Verdict.RETRY, Verdict.PROBABLY_SENT]


def usage(*minutes: object) -> str:
    objects = ",".join(f'{{"type":"instagram","estimated_time_to_regain_access":{each}}}' for each in minutes)
    return f'X-Business-Use-Case-Usage: {{"1":[{objects}]}}'


@pytest.mark.parametrize(
    ("code", "headers", "wait_seconds"),
    [
        (80002, [usage(19)], 19 * 60),
        (80002, [usage(3, 19, 4)], 19 * 60),
        # Meta's own sample repeats a key, of which a JSON reader keeps only the last.
        (80002, ['X-Business-Use-Case-Usage: {"1":[{"estimated_time_to_regain_access":7}],"1":[]}'], 7 * 60),
        (80002, [usage(999_999)], 24 * 3600),
        (80002, [usage(0)], 15 * 60),
        (80002, [usage('"x"')], 15 * 60),
        (80002, [], 15 * 60),
        (4, [usage(2)], 2 * 60),
        # No throttle: the header says nothing about this error.
        (100, [usage(19)], None),
    ],
)
def test_the_wait_that_meta_states_wins(code, headers, wait_seconds):
    assert run(http(400, error(code=code), *headers), refused).wait_seconds == wait_seconds


def test_throttling_of_the_app_stops_the_app():
    assert run(http(429, error(code=4)), refused).scope == Scope.APP


@pytest.mark.parametrize(
    "message",
    [f"Malformed access token {TOKEN}", f"Malformed {TOKEN[:30]}", "x" * 290 + TOKEN, f"EAA{'b' * 100} is not yours"],
)
def test_no_token_gets_into_the_message(message):
    refusal = run(http(400, error(message, code=190)), refused)

    assert TOKEN[:25] not in str(refusal.as_json())
    assert "EAAbbbb" not in str(refusal.as_json())
    assert len(refusal.message) <= 300
    assert "oken" in refusal.message


def test_the_message_can_be_stored():
    refusal = run(http(400, error("a\0b", code=100, fbtrace_id="c\0d")), refused)

    assert (refusal.message, refusal.trace_id) == ("ab", "cd")


def test_a_redirect_is_not_followed():
    async def scenario(graph, wire):
        return await refused(graph, wire), len(wire.requests)

    refusal, requests = run(http(307, "", "Location: /elsewhere"), scenario)

    assert (refusal.verdict, requests) == (Verdict.REJECT, 1)


def test_a_connection_closed_without_an_answer_may_have_sent_it_and_is_not_repeated():
    async def scenario(graph, wire):
        return await refused(graph, wire), len(wire.requests)

    refusal, requests = run(None, scenario)

    assert (refusal.verdict, refusal.title) == (Verdict.PROBABLY_SENT, "No answer from Meta: it may have been sent")
    assert requests == 1


def test_a_kept_connection_that_closes_on_the_second_call_is_not_repeated_either():
    async def scenario(graph, wire):
        await send(graph, wire)
        wire.answer = None
        return await refused(graph, wire), len(wire.requests), wire.connections

    refusal, requests, connections = run(http(200, "{}"), scenario)

    assert (refusal.verdict, requests, connections) == (Verdict.PROBABLY_SENT, 2, 1)


def test_no_answer_in_time_may_have_sent_it():
    refusal = run("hang", refused, GRAPH_READ_TIMEOUT_SECONDS=0.05)

    assert (refusal.verdict, refusal.title) == (Verdict.PROBABLY_SENT, "No answer from Meta: it may have been sent")
    assert (refusal.status, refusal.code) == (0, 0)


def test_a_refused_connection_is_certainly_not_sent():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]

    async def scenario(graph, wire):
        with override_settings(GRAPH_API_URL=f"http://127.0.0.1:{port}"):
            return await refused(GraphClient(), wire)

    refusal = run(None, scenario)

    assert (refusal.verdict, refusal.title) == (Verdict.RETRY, "Meta could not be reached")


def test_a_connection_that_is_not_taken_in_time_is_certainly_not_sent():
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # the one place in its queue

            async def scenario(graph, wire):
                with override_settings(GRAPH_API_URL=f"http://127.0.0.1:{full.getsockname()[1]}"):
                    return await refused(GraphClient(), wire)

            assert run(None, scenario, GRAPH_CONNECT_TIMEOUT_SECONDS=0.05).verdict == Verdict.RETRY


@pytest.mark.parametrize("path", ["../me/messages", "1/2/messages", "1/replies?fields=id", "a b/replies", "/messages"])
def test_an_id_that_would_change_the_path_is_refused_before_the_call(path):
    async def scenario(graph, wire):
        with pytest.raises(GraphError) as caught:
            await graph.send(path, BODY, TOKEN)
        return caught.value.verdict, wire.requests

    assert run(http(200, "{}"), scenario) == (Verdict.REJECT, [])


@pytest.mark.parametrize("token", ["", "IGAA\r\nX-Evil: 1", "IGAAé"])
def test_a_token_that_fits_no_header_needs_its_owner(token):
    async def scenario(graph, wire):
        with pytest.raises(GraphError) as caught:
            await graph.send("1/messages", BODY, token)
        return caught.value.verdict, wire.requests

    assert run(http(200, "{}"), scenario) == (Verdict.NEEDS_OWNER, [])


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_each_loop_has_its_own_client_which_closes_with_the_loop(loop_factory):
    clients = []

    async def job(url: str) -> None:
        with override_settings(GRAPH_API_URL=url, GRAPH_READ_TIMEOUT_SECONDS=1):
            assert client() is client()
            clients.append(weakref.ref(client()))
            await client().send("1/messages", BODY, TOKEN)

    with socket.create_server(("127.0.0.1", 0)) as server, answering(server):
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        for _ in range(2):
            with asyncio.Runner(loop_factory=loop_factory) as runner:
                runner.run(job(url))
    gc.collect()  # an open session would warn here, and warnings are errors

    assert [each() for each in clients] == [None, None]


@contextlib.contextmanager
def answering(server: socket.socket) -> Iterator[None]:
    """Answer two connections from a thread, so that the loops under test run nothing but the client."""

    def serve() -> None:
        for _ in range(2):
            connection, _ = server.accept()
            with connection:
                while b"}}" not in connection.recv(65_536):
                    pass
                connection.sendall(http(200, "{}"))

    thread = threading.Thread(target=serve)
    thread.start()
    yield
    thread.join()
