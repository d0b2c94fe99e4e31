"""What one drill runs in: a folder, ports, a database of its own, and the environment that says so to every process."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet
from django.db import connection

from chatautodm.local import free_port


@dataclass(frozen=True, slots=True)
class Surroundings:
    """behind: where the PostgreSQL server listens (`HOST:PORT` or a socket's path); "" on SQLite."""

    folder: Path
    environment: dict[str, str]
    behind: str


@contextlib.contextmanager
def made(folder: Path, keep: bool) -> Iterator[Surroundings]:
    """The database is one beside the one that DATABASE_URL names, dropped afterwards; on SQLite a file in the folder.

    Raises django.db.DatabaseError when it cannot be made.
    """
    if connection.vendor != "postgresql":
        yield Surroundings(folder, _environment(folder, f"sqlite:///{folder}/chatautodm.sqlite3"), "")
        return
    name = f"chatautodm_drill_{secrets.token_hex(4)}"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    connection.close()
    try:
        given = connection.settings_dict
        user = f"{quote(given['USER'] or '', safe='')}:{quote(given['PASSWORD'] or '', safe='')}"
        url = f"postgres://{user}@127.0.0.1:{free_port()}/{name}"
        yield Surroundings(folder, _environment(folder, url), _address())
    finally:
        if not keep:
            with connection.cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            connection.close()


def _address() -> str:
    host, port = connection.settings_dict["HOST"] or "/var/run/postgresql", connection.settings_dict["PORT"] or 5432
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else f"{host}:{port}"


def _environment(folder: Path, database_url: str) -> dict[str, str]:
    """Every setting that could matter is named, so that nothing of a `.env` gets in."""
    return {
        **os.environ,
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ALLOWED_HOSTS": "127.0.0.1",
        "DATABASE_URL": database_url,
        "REDIS_URL": f"unix://{folder}/valkey.sock",
        "WEB_BIND": f"127.0.0.1:{free_port()}",
        "WEB_CONCURRENCY": "1",
        "INSTAGRAM_APP_SECRET": secrets.token_hex(16),
        "INSTAGRAM_VERIFY_TOKEN": secrets.token_hex(16),
        "GRAPH_API_URL": f"http://127.0.0.1:{free_port()}",
        "GRAPH_API_VERSION": "v25.0",
        "USE_QUEUE_SYSTEM": "true",
        "QUEUE_WORKERS": "0",
        "QUEUE_CONCURRENCY": "50",
        "QUEUE_MAX_ATTEMPTS": "3",
        "QUEUE_BACKOFF_SECONDS": "1",
        # Short, so that some redeliveries come within it and most only after it.
        "QUEUE_DEDUP_WINDOW_SECONDS": "2",
        "QUEUE_MAX_WEBHOOKS_PER_MINUTE": "1000000",
        "PACING_MESSAGES_PER_SECOND": "0",
        "PACING_MEDIA_PER_SECOND": "0",
        "PACING_PRIVATE_REPLIES_PER_HOUR": "0",
        "SENTRY_DSN": "",
    }
