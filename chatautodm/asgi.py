"""ASGI: `chatautodm.asgi.application`. The webhook's path takes its own door, everything else goes to Django."""

from __future__ import annotations

import os

from django import setup

from chatautodm.charsets import Handler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatautodm.settings")
setup(set_prefix=False)
django = Handler()

# Only now: the database tier's models need Django to be set up.
from queueops import loops  # noqa: E402
from webhooks.asgi import PATHS, Receive, Scope, Send, instagram  # noqa: E402


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Every connection of the web server, and its start and stop."""
    if scope["type"] == "http" and scope["path"] in PATHS:
        await instagram(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await django(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing is opened before the first request needs it; all of it is closed when the last one is answered."""
    while True:
        message = await receive()
        is_end = message["type"] == "lifespan.shutdown"
        if is_end:
            await loops.close_all()
        await send({"type": f"{message['type']}.complete"})
        if is_end:
            return
