from __future__ import annotations

import io
import os
import secrets
import signal
import sys
import time
import urllib.error
import urllib.request
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from redis.exceptions import RedisError

from automations import demo
from chatautodm import local, sample
from chatautodm.settings import generated_once, integer, valkey_socket
from queueops import connections, embedded

READY_SECONDS = 60.0
STOP_SECONDS = 15.0


class Stopped(BaseException):
    """Ctrl-C or SIGTERM: whatever is being waited for, stop in order now."""


class Command(BaseCommand):
    help = "Runs everything on this machine: web server, worker, Valkey and fake Graph API. Ctrl-C stops it in order."
    requires_system_checks: tuple[str, ...] = ()  # they would miss the secrets that are made up here

    def handle(self, *args: Any, **options: Any) -> None:
        self.children: list[local.Child] = []
        if isinstance(sys.stdout, io.TextIOWrapper):
            # Whoever reads a pipe or a log file sees each line as it comes, in whatever encoding.
            sys.stdout.reconfigure(line_buffering=True, errors="replace")
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, _stop)
            with local.alone(settings.VAR_DIR / "run.lock") as lock:
                try:
                    self._run(lock)
                finally:
                    self._stop_everything()
        except Stopped:
            self.stdout.write("stopped")
        except (local.LocalRunError, embedded.EmbeddedValkeyError, RedisError, OSError) as error:
            raise CommandError(str(error).splitlines()[0]) from error
        except DatabaseError as error:
            where = settings.DATABASES["default"]["NAME"]
            raise CommandError(
                f"The database {where} cannot be used: {str(error).splitlines()[0]}. "
                "Look at the free disk space, or set DATABASE_URL."
            ) from error

    def _run(self, lock: Any) -> None:
        port = integer("PORT", 8000, at_least=1)
        local.check_port(port)
        url = f"http://127.0.0.1:{port}"
        local.note(lock, f"process {os.getpid()}, {url}")
        env = self._environment(port)
        self._timed("Redis" if settings.REDIS_URL else "Valkey", _check_redis)
        self._timed("database", lambda: call_command("migrate", verbosity=0))
        self._timed("demo data", self._seed)
        self._timed("web server and worker", lambda: self._start_parts(env, url))
        self._say_where(url, env)
        self._try_sample(url, env)
        self._watch()

    def _environment(self, port: int) -> dict[str, str]:
        env = {**os.environ, "DEBUG": str(settings.DEBUG).lower(), "WEB_BIND": f"127.0.0.1:{port}"}
        if not settings.INSTAGRAM_APP_SECRET:
            env["INSTAGRAM_APP_SECRET"] = generated_once("instagram_app_secret", lambda: secrets.token_hex(16))
        if not settings.INSTAGRAM_VERIFY_TOKEN:
            env["INSTAGRAM_VERIFY_TOKEN"] = generated_once("instagram_verify_token", lambda: secrets.token_hex(16))
        if not _graph_is_given():
            env["GRAPH_API_URL"] = f"http://127.0.0.1:{local.free_port()}"
        return env

    def _seed(self) -> None:
        demo.seed()
        if settings.DEBUG:
            demo.seed_user()

    def _start_parts(self, env: dict[str, str], url: str) -> None:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        if not _graph_is_given():
            graph_port = env["GRAPH_API_URL"].rsplit(":", 1)[1]
            self._start("fake_graph", [*manage, "fake_graph", "--port", graph_port], env)
        self._start("worker", [*manage, "rqworker", *settings.LANES], env)
        self._start("web", [sys.executable, "-m", "gunicorn", "-c", str(settings.BASE_DIR / "gunicorn.conf.py")], env)
        self._wait_until(lambda: _answers(f"{url}/readyz"), "the web server")
        self._wait_until(lambda: bool(connections.client().exists("rq:workers")), "the worker")

    def _start(self, name: str, command: list[str], env: dict[str, str]) -> None:
        self.children.append(local.start(name, command, env, settings.VAR_DIR / "log"))

    def _wait_until(self, ready: Any, what: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not ready():
            self._check_children()
            if time.monotonic() > deadline:
                raise local.LocalRunError(f"{what} was not ready within {READY_SECONDS:.0f} s; see var/log/.")
            time.sleep(0.05)

    def _check_children(self) -> None:
        for child in self.children:
            if child.process.poll() is not None:
                raise local.LocalRunError(
                    f"{child.name} stopped by itself (exit code {child.process.returncode}): {child.last_words()} "
                    f"(log: {child.log})"
                )

    def _say_where(self, url: str, env: dict[str, str]) -> None:
        lines = [
            ("console", f"{url}/admin/" + (f"  (log in as {demo.USER} / {demo.USER})" if settings.DEBUG else "")),
            ("webhook", f"{url}/api/webhooks/instagram  (INSTAGRAM_APP_SECRET={_shown(env)})"),
            ("statistics", f"{url}/api/queue-stats"),
            (
                "Graph API",
                env["GRAPH_API_URL"] + ("" if os.environ.get("GRAPH_API_URL") else "  (the fake: what it received)"),
            ),
            ("logs", "var/log/web.log, worker.log"),
        ]
        for name, text in lines:
            self.stdout.write(f"  {name:<11}{text}")

    def _try_sample(self, url: str, env: dict[str, str]) -> None:
        one = sample.build()
        try:
            ack_ms = sample.post(url, one, env["INSTAGRAM_APP_SECRET"].split(",")[0].strip())
        except urllib.error.URLError as error:
            raise local.LocalRunError(f"The sample webhook was not taken: {error}; see var/log/web.log.") from error
        story = sample.wait_for(one, ack_ms)
        if story is None:
            self.stdout.write("The sample webhook was taken, but not answered within 20 s; see the console.")
            return
        self.stdout.write(f"\nA sample webhook came in:       “{sample.TEXT}”")
        if story.text:
            self.stdout.write(f"This direct message went out:   “{story.text}”")
        else:
            self.stdout.write(f"Nothing went out: {story.outcome}. {story.reason}")
        self.stdout.write(
            f"Taken in {story.ack_ms:.1f} ms, waited {story.wait_ms:.1f} ms, processed in {story.process_ms:.1f} ms."
        )
        self.stdout.write("\nCtrl-C stops everything in order; nothing is lost.")

    def _watch(self) -> None:
        while True:
            self._check_children()
            time.sleep(0.5)

    def _stop_everything(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.children):
            self.stdout.write(f"  stopping {child.name}")
            local.stop(child)
        if not settings.REDIS_URL and self.children:
            stopped = embedded.wait_until_stopped(settings.VALKEY_DIR, valkey_socket(settings.VALKEY_DIR), STOP_SECONDS)
            self.stdout.write("  Valkey stopped" if stopped else "  Valkey goes on: another process still uses it")

    def _timed(self, what: str, step: Any) -> None:
        started = time.perf_counter()
        step()
        self.stdout.write(f"  {what} ready in {time.perf_counter() - started:.1f} s")


def _stop(signum: int, frame: FrameType | None) -> None:
    raise Stopped


def _check_redis() -> None:
    try:
        connections.client().ping()
    except RedisError as error:
        raise local.LocalRunError(
            f"REDIS_URL cannot be used: {error} Start that server, or leave REDIS_URL unset for the embedded Valkey."
        ) from error


def _shown(env: dict[str, str]) -> str:
    """The generated development secret in full, somebody's own by name only."""
    if settings.INSTAGRAM_APP_SECRET:
        return "yours"
    return env["INSTAGRAM_APP_SECRET"]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - our own server on loopback
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _graph_is_given() -> bool:
    """Whether GRAPH_API_URL names a server; otherwise the fake one runs beside us."""
    return bool(os.environ.get("GRAPH_API_URL"))
