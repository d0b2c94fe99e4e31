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
    from chatautodm import settings
    from chatautodm.local import stop_with_parent
    from chatautodm.supervisor import Supervisor
    from webhooks.checks import instagram_is_configured

    workers = settings.WEB_CONCURRENCY
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
logconfig_dict = settings.LOGGING


def on_starting(server: Any) -> None:
    """Say at the start what Django's checks would say: nobody runs `manage.py check` beside a web server."""
    for message in instagram_is_configured():
        server.log.warning("%s %s", message.msg, message.hint)


def _queue_workers(server: Any) -> Supervisor:
    """QUEUE_WORKERS' supervisor: the server's own, for this file is read anew at each reload."""
    if not hasattr(server, "queue_workers"):
        command = [sys.executable, "manage.py", "rqworker", *settings.LANES]
        server.queue_workers = Supervisor(command, settings.QUEUE_WORKERS, chdir)
    supervisor: Supervisor = server.queue_workers
    return supervisor


def when_ready(server: Any) -> None:
    """The address is taken: nothing can keep the server from starting any more."""
    _queue_workers(server).start()


def post_fork(server: Any, worker: Any) -> None:
    """A web process that outlived a killed server would keep its address."""
    stop_with_parent()


def post_worker_init(worker: Any) -> None:
    """Each watches whether anybody looks for what is wrong; the first one says what may be lost, and who is not told.

    Imported here: what this file itself imports would survive a reload.
    """
    from queueops import alerting, checks, durability  # noqa: PLC0415

    alerting.start_watching()
    if worker.age == 1:
        for risk in durability.risks():
            worker.log.warning("%s %s", risk.words, risk.hint)
        for message in checks.alerts_reach_somebody():
            worker.log.warning("%s %s", message.msg, message.hint)


def on_reload(server: Any) -> None:
    """SIGHUP: new code for the workers, too."""
    _queue_workers(server).reload()


def on_exit(server: Any) -> None:
    """The web processes have ended, nothing new comes in: let the workers finish what is in flight."""
    _queue_workers(server).stop()
