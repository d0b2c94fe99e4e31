"""The process in which gunicorn serves the ASGI application."""

from __future__ import annotations

import resource
from typing import Any, ClassVar

from uvicorn_worker import UvicornWorker

from queueops import garbage

# Of one process; a further one is told 503. Each costs some 10 kB and a file descriptor.
MOST_CONNECTIONS = 8000


class WebWorker(UvicornWorker):  # type: ignore[misc]  # the package ships no types
    """uvicorn on uvloop, with the webhook's door, without what nobody here uses: access log, WebSockets, `Server`."""

    CONFIG_KWARGS: ClassVar[dict[str, Any]] = {
        "loop": "uvloop",
        # By its name: code that the parent process has imported would survive a reload.
        "http": "webhooks.protocol:WebhookProtocol",
        "limit_concurrency": MOST_CONNECTIONS,
        "ws": "none",
        "lifespan": "on",
        "access_log": False,
        "server_header": False,
    }

    def init_process(self) -> None:
        """Before anything is opened: allow as many descriptors as the system grants; 1,024 are usual to begin with."""
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop."""
        garbage.collect_rarely()  # the application is loaded by now
        super().run()
