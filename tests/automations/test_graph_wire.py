"""What a kept connection makes of answers that are late, cut, too long, too many or no HTTP. The server is a script."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from automations.graph_wire import CONTENT_BYTES, HEAD_BYTES, Host, HTTPAnswer, NoAnswer, NotSent

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Script = Callable[[int], bytes]  # the bytes for the connection's n-th request


class Server:
    """Answers each request as the script says, on as many connections as come."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        try:
            n = 0
            while True:
                await reader.readuntil(b"{}")
                writer.write(self.script(n))
                n += 1
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


Scenario = Callable[[Host, Server], Awaitable[Any]]


def run(script: Script | bytes, scenario: Scenario, seconds: float = 5.0, tls: ssl.SSLContext | None = None) -> Any:
    async def main() -> Any:
        server = Server(script if callable(script) else lambda _: script)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
        port = listening.sockets[0].getsockname()[1]
        host = Host(f"{'https' if tls else 'http'}://127.0.0.1:{port}/v25.0", seconds, seconds)
        try:
            return await scenario(host, server)
        finally:
            await host.close()
            listening.close()
            for writer in server.connections:
                writer.close()

    return uvloop.run(main())


async def post(host: Host, server: Server | None = None) -> HTTPAnswer:
    return await host.post("1/messages", "token", b"{}")


async def twice(host: Host, server: Server) -> tuple[HTTPAnswer, HTTPAnswer, int]:
    return await post(host), await post(host), len(server.connections)


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        (OK, b"{}"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n3\r\n   \r\n0\r\n\r\n", b"{}   "),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, b"{}"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_the_answer_ends_where_http_says_and_the_connection_is_kept(answer, content):
    first, second, connections = run(answer, twice)

    assert (first.content, second.content, connections) == (content, content, 1)
    assert "link" not in first.headers


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_connection_that_the_server_closes_after_its_answer_is_used_once(version):
    answer = OK.replace(b"1.1", version).replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")

    assert run(answer, twice)[2] == 2


def test_an_answer_that_nobody_asked_for_is_given_to_nobody():
    surplus = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"

    first, second, connections = run(lambda n: OK + surplus, twice)

    assert (first.content, second.content, connections) == (b"{}", b"{}", 2)


def test_a_connection_is_not_shared():
    async def scenario(host, server):
        answers = await asyncio.gather(*(post(host) for _ in range(5)))
        return {answer.content for answer in answers}, len(server.connections)

    assert run(OK, scenario) == ({b"{}"}, 5)


def test_who_is_cancelled_leaves_no_answer_to_the_next():
    async def scenario(host, server):
        waiting = asyncio.create_task(post(host))
        while not server.connections:
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        server.script = lambda _: OK
        return (await post(host)).content, len(server.connections)

    assert run(b"", scenario) == (b"{}", 2)


@pytest.mark.parametrize(
    "answer",
    [
        b"+PONG\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n\x00\x00",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (HEAD_BYTES + 1),
    ],
)
def test_what_is_no_answer_leaves_open_whether_it_was_sent(answer):
    with pytest.raises(NoAnswer):
        run(answer, post)


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("rest", [b"{", b"x" * (CONTENT_BYTES * 2)])
def test_once_the_status_is_known_what_is_missing_changes_nothing(status, rest):
    head = f"HTTP/1.1 {status} X\r\nContent-Length: 999999\r\n\r\n".encode()

    assert run(head + rest, post, seconds=0.2).status == status


def test_closing_tells_whoever_still_waits():
    async def scenario(host, server):
        arrived = asyncio.Event()

        def swallow(_: int) -> bytes:
            arrived.set()
            return b""

        server.script = swallow
        waiting = asyncio.create_task(post(host))
        await arrived.wait()
        await host.close()
        await waiting

    with pytest.raises(NoAnswer, match="closed"):
        run(b"", scenario)


def test_closing_while_a_connection_is_being_made_sends_nothing():
    async def scenario(host, server):
        waiting = asyncio.create_task(post(host))
        await asyncio.sleep(0)
        await host.close()
        await waiting

    with pytest.raises(NotSent, match="closed"):
        run(OK, scenario)


def test_a_name_that_does_not_exist_is_certainly_not_sent():
    with pytest.raises(NotSent):
        uvloop.run(post(Host("http://nowhere.invalid", 5, 5)))


@pytest.fixture
def certificate(tmp_path) -> Path:
    """A certificate for 127.0.0.1, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path / "server.pem"
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(built.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return file


def test_it_talks_tls_to_a_server_whose_certificate_is_trusted(certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    first, second, connections = run(OK, twice, tls=_serving(certificate))

    assert (first.content, second.content, connections) == (b"{}", b"{}", 1)


def test_a_server_whose_certificate_nobody_vouches_for_is_sent_nothing(certificate):
    with pytest.raises(NotSent, match="certificate"):
        run(OK, post, tls=_serving(certificate))


def _serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
