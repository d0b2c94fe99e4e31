"""A Sentry on loopback: it takes envelopes as the real one does, and keeps them."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECONDS = 30.0


@dataclass
class Receiver:
    """What came in: whole, as text, and each event of it."""

    dsn: str = ""
    bodies: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def wait_for(self, n: int) -> list[dict[str, Any]]:
        deadline = time.monotonic() + SECONDS
        while len(self.events) < n:
            assert time.monotonic() < deadline, f"{len(self.events)} of {n} events came"
            time.sleep(0.02)
        return self.events

    def take(self, body: bytes) -> None:
        text = body.decode()
        self.bodies.append(text)
        lines = [json.loads(line) for line in text.splitlines() if line]
        pairs = zip(lines[1::2], lines[2::2], strict=True)
        self.events.extend(item for header, item in pairs if header["type"] == "event")


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.dsn = f"http://only-for-tests-key@127.0.0.1:{server.server_port}/1"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield receiver
    server.shutdown()
    server.server_close()
    thread.join()
