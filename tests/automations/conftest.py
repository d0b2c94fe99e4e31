from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings
from redis import Redis

from automations import demo, tasks
from automations.events import Event
from automations.fake_graph import FakeGraph
from automations.models import Account
from queueops import database
from queueops.jobs import Done

Answer = Callable[..., Awaitable[Done]]
Scenario = Callable[[FakeGraph, Answer], Coroutine[Any, Any, None]]


@pytest.fixture
def demo_data(threads: None, redis: Redis) -> Account:
    """The demo workspace; answers the shop's account."""
    demo.seed()
    return Account.objects.get(username="demo.shop")


async def answer(event: Event, receipt: str = "", received_at: datetime | None = None) -> Done:
    """Process the event as a worker would."""
    at = received_at or datetime.now(UTC)
    return await tasks.process_event(event.as_payload(), {"id": receipt or str(uuid.uuid4()), "at": at.isoformat()})


@pytest.fixture
def play(demo_data: Account, run: Callable[[Coroutine[Any, Any, None]], None]) -> Callable[[Scenario], FakeGraph]:
    """Run a scenario against the fake Graph API; answers the fake, for what it received."""

    def play(scenario: Scenario) -> FakeGraph:
        graph = FakeGraph()

        async def on_stage() -> None:
            url = await graph.start()
            try:
                with override_settings(GRAPH_API_URL=url):
                    await scenario(graph, answer)
            finally:
                await graph.stop()

        run(on_stage())
        return graph

    return play


@pytest.fixture
def rows() -> Callable[..., Awaitable[Any]]:
    """Ask the database from inside a scenario."""
    return database.run
