"""ASGI: `chatautodm.asgi.application`. The webhook's path takes the fast door, everything else goes to Django."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from webhooks.asgi import Receive, Scope, Send, instagram

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatautodm.settings")
django = get_asgi_application()

WEBHOOK_PATHS = frozenset({"/api/webhooks/instagram", "/api/webhooks/instagram/"})


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Every connection of the web server, and its start and stop."""
    if scope["type"] == "http" and scope["path"] in WEBHOOK_PATHS:
        await instagram(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        await django(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    """Nothing is opened before the first request needs it: say so, so that the server need not guess."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
