from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from queueops import connections, database


@pytest.fixture
def redis() -> Iterator[Redis]:
    """An empty Valkey."""
    client = connections.client()
    client.flushall()
    yield client


@pytest.fixture
def threads(transactional_db: None) -> Iterator[None]:
    """A database whose commits other threads see; their connections are closed before it is emptied."""
    yield
    database.close()
