"""The web server: `gunicorn -c gunicorn.conf.py`. WEB_BIND and WEB_CONCURRENCY are the environment's, or .env's."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

chdir = str(Path(__file__).resolve().parent)
sys.path.insert(0, chdir)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatautodm.settings")

try:
    # Reads .env; a wrong value of any variable ends the start here, in one line, and not in every worker.
    from chatautodm.settings import integer
    from webhooks.checks import instagram_is_configured

    workers = integer("WEB_CONCURRENCY", os.cpu_count() or 1, at_least=1)
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from None

wsgi_app = "chatautodm.asgi:application"
worker_class = "chatautodm.server.WebWorker"
bind = os.environ.get("WEB_BIND", "").strip() or "127.0.0.1:8000"
graceful_timeout = 30
# Longer than the proxies in front keep theirs, so that it is never us who close a connection they are about to use.
keepalive = 75
accesslog = None
# Without it gunicorn opens a control socket in the home folder, which several servers would share.
control_socket_disable = True


def on_starting(server: Any) -> None:
    """Say at the start what Django's checks would say: nobody runs `manage.py check` beside a web server."""
    for message in instagram_is_configured():
        server.log.warning("%s %s", message.msg, message.hint)
