"""One lean connection to Redis: answers in their order, every refusal told, nothing sent a second time by itself."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from queueops import connections, loops
from queueops.wire import Line, Script, Wire, open_wire

ECHO = Script.of("return ARGV[1]")
COUNT = Script.of("return redis.call('INCR', 'count')")
PASSWORD = "only for tests/@:"


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """Both kinds of loop: the web server's, and that of everybody else."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@contextlib.asynccontextmanager
async def opened(url: str = "", seconds: float = 10.0, **options: Any) -> AsyncIterator[Wire]:
    client = AsyncRedis.from_url(url or connections_url(), retry=Retry(NoBackoff(), 0), **options)
    wire = await open_wire(client, seconds)
    try:
        yield wire
    finally:
        wire.close()
        await client.aclose()


def connections_url() -> str:
    path = connections.client().connection_pool.connection_kwargs.get("path")
    assert path, "the suite's Valkey listens on a socket"
    return f"unix://{path}"


def run(wire: Wire, script: Script, *args: Any) -> asyncio.Future[Any]:
    future = asyncio.get_running_loop().create_future()
    wire.run(script, args, future.set_result)
    return future


def test_answers_come_in_the_order_of_the_calls(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> list[Any]:
        async with opened() as wire:
            await run(wire, ECHO, 0)
            calls = [run(wire, ECHO, n) for n in range(100)]
            assert wire.under_way == 100
            return await asyncio.gather(*calls)

    assert runner.run(scenario()) == [str(n).encode() for n in range(100)]


def test_a_script_that_the_server_does_not_know_is_sent_whole_and_runs_once(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> list[Any]:
        async with opened() as wire:
            found = []
            for _ in range(2):
                redis.script_flush()
                found += [await run(wire, COUNT), await run(wire, COUNT)]
            return found

    assert runner.run(scenario()) == [1, 2, 3, 4]


def test_what_the_server_refuses_is_told_in_its_words(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> list[Any]:
        async with opened() as wire:
            wrong = await run(wire, Script.of("return redis.error_reply('MISCONF made up')"))
            redis.config_set("maxmemory", 1)
            try:
                full = await run(wire, COUNT)
            finally:
                redis.config_set("maxmemory", 0)
            return [wrong, full, await run(wire, COUNT)]

    wrong, full, fine = runner.run(scenario())
    assert isinstance(wrong, ResponseError)
    assert str(wrong).startswith("MISCONF made up")
    assert isinstance(full, OutOfMemoryError)
    assert fine == 1


def test_everybody_who_waits_is_told_when_the_connection_ends(
    runner: asyncio.Runner, redis: Redis, cut_connections: Callable[[], None]
):
    async def scenario() -> list[Any]:
        async with opened() as wire:
            await run(wire, ECHO, 0)
            calls = [run(wire, ECHO, n) for n in range(3)]
            cut_connections()
            found = await asyncio.gather(*calls, run(wire, COUNT))
            while wire.is_open:
                await asyncio.sleep(0)
            return found

    *_, last = runner.run(scenario())
    assert isinstance(last, RedisError) or redis.get("count") == b"1"


def test_a_server_that_does_not_answer_is_given_up_and_asked_nothing_again(runner: asyncio.Runner):
    asked = bytearray()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Takes part in the opening, and says no more."""
        while data := await reader.read(65536):
            if b"EVAL" in data:
                asked.extend(data)
            else:
                writer.write(b"+OK\r\n" * data.count(b"*"))
        writer.close()

    async def scenario() -> list[Any]:
        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with opened(f"redis://127.0.0.1:{port}", seconds=0.02, protocol=2) as wire:
            found = list(await asyncio.gather(run(wire, COUNT), run(wire, COUNT)))
            assert not wire.is_open
        server.close()
        await server.wait_closed()
        return found

    for answer in runner.run(scenario()):
        assert "did not answer within 0.02 s" in str(answer)
    assert asked.count(b"EVAL") == asked.count(b"EVALSHA") == 2


def test_a_server_that_is_not_there_cannot_be_opened(runner: asyncio.Runner):
    async def scenario() -> None:
        async with opened("unix:///nowhere/valkey.sock"):
            pass

    with pytest.raises(RedisError):
        runner.run(scenario())


# For coroutines


@contextlib.asynccontextmanager
async def line() -> AsyncIterator[Line]:
    client = AsyncRedis.from_url(connections_url(), retry=Retry(NoBackoff(), 0))
    try:
        yield Line(client, 10.0)
    finally:
        await loops.close_all()
        await client.aclose()


def test_a_line_opens_one_connection_however_many_ask_at_once(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> list[Any]:
        async with line() as one:
            names = [one.send("CLIENT", "ID") for _ in range(5)]
            return await asyncio.gather(*names, one.run(ECHO, "x"), one.send("PING"))

    *clients, echo, pong = runner.run(scenario())
    assert len(set(clients)) == 1
    assert (echo, pong) == (b"x", b"PONG")


def test_a_line_raises_what_the_server_refuses_and_goes_on(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> Any:
        async with line() as one:
            with pytest.raises(ResponseError, match="unknown command"):
                await one.send("NOSUCH")
            return await one.run(COUNT)

    assert runner.run(scenario()) == 1


def test_a_line_that_was_cut_fails_those_who_wait_and_opens_anew_for_the_next(
    runner: asyncio.Runner, redis: Redis, cut_connections: Callable[[], None]
):
    async def scenario() -> Any:
        async with line() as one:
            await one.send("PING")
            waiting = asyncio.ensure_future(one.send("BLPOP", "nothing", 0))
            await asyncio.sleep(0)
            cut_connections()
            with pytest.raises(RedisError, match="closed the connection"):
                await waiting
            return await one.run(COUNT)

    assert runner.run(scenario()) == 1


def test_a_line_leaves_a_master_that_has_become_a_replica(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> list[Any]:
        async with line() as one:
            found = [await one.send("CLIENT", "ID")]
            redis.replicaof("127.0.0.1", 1)
            try:
                with pytest.raises(ReadOnlyError):
                    await one.run(COUNT)
            finally:
                redis.replicaof("NO", "ONE")
            return [*found, await one.send("CLIENT", "ID")]

    before, after = runner.run(scenario())
    assert before != after


def test_an_answer_that_nobody_waits_for_any_more_is_nobody_elses(runner: asyncio.Runner, redis: Redis):
    async def scenario() -> Any:
        async with line() as one:
            await one.send("PING")
            given_up = asyncio.ensure_future(one.run(ECHO, "given up"))
            await asyncio.sleep(0)
            given_up.cancel()
            return await one.run(ECHO, "mine")

    assert runner.run(scenario()) == b"mine"


# Every address that redis-py knows


@pytest.fixture
def guest(redis: Redis) -> Iterator[str]:
    """A user of the suite's Valkey, as it stands in an address."""
    redis.acl_setuser("guest", enabled=True, passwords=[f"+{PASSWORD}"], keys=["*"], commands=["+@all"])
    yield f"guest:{quote(PASSWORD, safe='')}"
    redis.acl_deluser("guest")


def test_it_opens_a_socket_with_a_user_and_a_database(runner: asyncio.Runner, redis: Redis, guest: str):
    url = connections_url().replace("unix://", f"unix://{guest}@") + "?db=3"
    assert runner.run(_where_is_guest(url)) == ["3"]


def test_it_opens_tcp_and_tls(runner: asyncio.Runner, redis: Redis, guest: str, tmp_path: Path):
    certificate = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def scenario() -> list[list[str]]:
        found = []
        for scheme, tls, query in (("redis", None, ""), ("rediss", context, f"?ssl_ca_certs={certificate}")):
            server = await asyncio.start_server(_forward, "localhost", 0, ssl=tls)
            port = server.sockets[0].getsockname()[1]
            found.append(await _where_is_guest(f"{scheme}://{guest}@localhost:{port}/5{query}"))
            server.close()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        return found

    assert runner.run(scenario()) == [["5"], ["5"]]


def test_a_wrong_password_cannot_be_opened(runner: asyncio.Runner, redis: Redis, guest: str):
    url = connections_url().replace("unix://", "unix://guest:wrong@")
    with pytest.raises(RedisError):
        runner.run(_where_is_guest(url))


async def _where_is_guest(url: str) -> list[str]:
    """The databases of the guest's connections, while a wire to this address works."""
    async with opened(url) as wire:
        assert await run(wire, ECHO, "here") == b"here"
        return [client["db"] for client in connections.client().client_list() if client["user"] == "guest"]


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A connection to the suite's Valkey, which itself listens on a socket only and speaks no TLS."""
    inner_reader, inner_writer = await asyncio.open_unix_connection(connections_url().removeprefix("unix://"))
    await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _certificate(folder: Path) -> Path:
    """A key and a certificate for localhost, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    raw = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "localhost.pem"
    path.write_bytes(raw + certificate.public_bytes(pem))
    return path
