"""The connection to PostgreSQL dies while rows are committed: whether they were or not, each call is made once."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.db import connections as databases

from automations.events import Comment
from automations.models import Delivery, Event
from queueops import database

SHOP = "17841456778752687"
READY = b"Z\x00\x00\x00\x05I"  # how the server's answer ends when it has committed
# What is said only when these rows are written: they are JSON.
BEGINNING, SECOND_STEP, END = b'"outcome":"processing"', b'"kind":"public_reply"', b'"outcome":"sent"'

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="needs PostgreSQL")


class Line:
    """Passes on to PostgreSQL what is said on a port, and ends the connection that first says `words`.

    arrives: after the server has done what it was told, and before its answer; otherwise before the server hears of it.
    """

    def __init__(self, words: bytes, arrives: bool) -> None:
        there = connection.get_connection_params()
        self._server = f"{there['host']}/.s.PGSQL.{there.get('port') or 5432}"
        self._words = words
        self._arrives = arrives
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=[self._listener.accept()[0]], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._server)
            is_cut = threading.Event()
            back = threading.Thread(target=_pass_back, args=[server, client, is_cut], daemon=True)
            back.start()
            while data := client.recv(1 << 20):
                if self._is_time(data):
                    self.cuts += 1
                    is_cut.set()
                    if not self._arrives:
                        server.shutdown(socket.SHUT_RDWR)
                        return
                server.sendall(data)
                if is_cut.is_set():
                    back.join()
                    return

    def _is_time(self, data: bytes) -> bool:
        return self._words in data and not self.cuts

    def close(self) -> None:
        self._listener.close()


def _pass_back(server: socket.socket, client: socket.socket, is_cut: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while data := server.recv(1 << 20):
            if not is_cut.is_set():
                client.sendall(data)
            elif data.endswith(READY):
                return


@contextlib.contextmanager
def over(line: Line) -> Iterator[None]:
    """The threads that talk to the database do so over this line."""
    database.close()
    there: dict[str, Any] = databases.settings["default"]
    before = {name: there[name] for name in ("HOST", "PORT")}
    there |= {"HOST": "127.0.0.1", "PORT": str(line.port)}
    try:
        yield
    finally:
        database.close()
        there |= before
        line.close()


@pytest.mark.parametrize("arrives", [True, False], ids=["committed", "not committed"])
@pytest.mark.parametrize("words", [BEGINNING, SECOND_STEP, END], ids=["start", "step", "end"])
def test_each_call_is_made_once_and_known_to_be_sent(play, words, arrives):
    event = Comment(account=SHOP, person="84224", source_id="1790", at_ms=None, text="link", username="maria.example")
    line = Line(words, arrives)

    async def scenario(graph, answer):
        with over(line):
            await answer(event)

    graph = play(scenario)

    assert line.cuts == 1
    assert [call.kind for call in graph.received] == ["private_reply", "public_reply"]
    assert set(Delivery.objects.values_list("status", flat=True)) == {"sent"}
    assert Event.objects.get().outcome == "sent"
