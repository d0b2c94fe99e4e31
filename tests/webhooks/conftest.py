from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import uvloop
from hypothesis import settings

from queueops import dispatch, loops
from tests.webhooks.doors import AsgiDoor, DjangoDoor, Door, ServerDoor

# A busy machine is slow now and then; how long an example takes says nothing here.
settings.register_profile("edge", deadline=None)
settings.load_profile("edge")
dispatch.PATIENCE_SECONDS = 10.0  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def runner() -> Iterator[asyncio.Runner]:
    """The web server's kind of loop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner
        runner.run(loops.close_all())


@pytest.fixture(scope="session")
def asgi_door(runner: asyncio.Runner) -> AsgiDoor:
    return AsgiDoor(runner)


@pytest.fixture(scope="session")
def server_door(runner: asyncio.Runner) -> Iterator[ServerDoor]:
    door = ServerDoor(runner)
    yield door
    door.close()


@pytest.fixture(scope="session", params=["django", "asgi", "server"])
def door(request: pytest.FixtureRequest, asgi_door: AsgiDoor, server_door: ServerDoor) -> Door:
    doors: dict[str, Door] = {"django": DjangoDoor(), "asgi": asgi_door, "server": server_door}
    return doors[request.param]
