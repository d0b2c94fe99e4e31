from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase
from django.test.utils import setup_databases
from redis import Redis

from queueops import connections, database, garbage, metrics
from tests.running import run_alone

T = TypeVar("T")

# Permissions and what they are about stay as they are: to make them anew, as Django's own `flush` does, takes ten times
# as long as all the rest. A table that holds nothing is not touched.
EMPTY = """
DO $$
DECLARE name text; has_rows boolean;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR name IN SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', name) INTO has_rows;
        IF has_rows THEN EXECUTE format('DELETE FROM %I', name); END IF;
    END LOOP;
END $$
"""


def empty_the_database(_: TransactionTestCase) -> None:
    with connection.cursor() as cursor:
        cursor.execute(EMPTY)


TransactionTestCase._fixture_teardown = empty_the_database  # type: ignore[attr-defined]

# Each test client, too, would look through all static files there are.
settings.WHITENOISE_AUTOREFRESH = True
# Tests write the metrics themselves: a thread would do it in the middle of another test.
metrics.FLUSH_SECONDS = 3600.0
# A worker in this process must not collect at its start what other tests have left behind, in the middle of its own.
garbage.collect_rarely = lambda: None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that share a running product come one after the other: it starts anew when others come between."""
    folders = {item.path.parent for item in items if "product" in getattr(item, "fixturenames", ())}
    places: dict[Path, int] = {}
    for n, item in enumerate(items):
        if item.path.parent in folders:
            places.setdefault(item.path.parent, n)
    order = {item: places.get(item.path.parent, n) for n, item in enumerate(items)}
    items.sort(key=order.__getitem__)


@pytest.fixture(scope="session", autouse=True)
def impatient_client() -> None:
    """This process's, made before a test names a server that is not there: threads would ask that one ever after."""
    connections.impatient_client()


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: Any) -> Iterator[None]:
    """The test database, also for tests that use it from other processes and so carry no mark for pytest-django."""
    with django_db_blocker.unblock():
        setup_databases(verbosity=0, interactive=False, aliases={"default": True})
    yield  # and no teardown: its server goes away with the suite
    database.close()


@pytest.fixture
def redis() -> Redis:
    """An empty Valkey."""
    client = connections.client()
    metrics.flush()  # what earlier tests left behind goes with the rest
    client.flushall()
    return client


@pytest.fixture
def cut_connections(redis: Redis) -> Callable[[], None]:
    """Have the server end the connections that the test has opened; those of others, which live on, stay."""
    known = {client["id"] for client in redis.client_list()}

    def cut() -> None:
        for client in redis.client_list(_type="normal"):
            if client["id"] not in known:
                redis.client_kill_filter(_id=client["id"], skipme=True)

    return cut


@pytest.fixture
def run() -> Callable[[Coroutine[Any, Any, T]], T]:
    return run_alone


@pytest.fixture
def threads(transactional_db: None) -> Iterator[None]:
    """A database whose commits other threads see; their connections are closed before it is emptied."""
    yield
    database.close()
