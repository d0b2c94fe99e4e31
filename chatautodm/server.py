"""The process in which gunicorn serves the ASGI application."""

from __future__ import annotations

from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker


class WebWorker(UvicornWorker):  # type: ignore[misc]  # the package ships no types
    """uvicorn on uvloop and httptools, without what nobody here uses: access log, WebSockets, a `Server` header."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        "http": "httptools",
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
    }
