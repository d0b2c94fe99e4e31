from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import settings

from queueops import loops
from tests.webhooks.doors import AsgiDoor, DjangoDoor, Door

# A busy machine is slow now and then; how long an example takes says nothing here.
settings.register_profile("edge", deadline=None)
settings.load_profile("edge")


@pytest.fixture(scope="session")
def asgi_door() -> Iterator[AsgiDoor]:
    with asyncio.Runner() as runner:
        yield AsgiDoor(runner)
        runner.run(loops.close_all())


@pytest.fixture(scope="session", params=["django", "asgi"])
def door(request: pytest.FixtureRequest, asgi_door: AsgiDoor) -> Door:
    return DjangoDoor() if request.param == "django" else asgi_door
