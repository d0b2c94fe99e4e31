"""What is logged, in which form, and where errors are reported besides."""

from __future__ import annotations

import os
import sys
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from chatautodm.environment import boolean, shaped

VERSION = "0.1.0"

LOG_FORMAT = shaped(
    "LOG_FORMAT", "console" if boolean("DEBUG", default=False) else "json", "console|json", "console or json"
)

# A line for each change of state of each event (queueops/states.py).
LOG_EVENTS = boolean("LOG_EVENTS", default=False)

_TO_STDERR = {"handlers": ["stderr"], "level": "INFO", "propagate": False}

# gunicorn is given the same (gunicorn.conf.py).
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "chatautodm.logs.formatter", "form": LOG_FORMAT}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line", "stream": sys.stderr}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        # Without Django's own handlers: one of them would mail requests with all they hold to ADMINS.
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        # Every log-in that succeeds; those that fail are warnings.
        "axes": {"level": "WARNING"},
        "queueops.states": {"level": "INFO" if LOG_EVENTS else "WARNING"},
        # RQ and gunicorn set up handlers of their own where there are none.
        "rq.worker": _TO_STDERR,
        "rq.scheduler": _TO_STDERR,
        "gunicorn.error": _TO_STDERR,
    },
}


def _sentry_dsn() -> str:
    """SENTRY_DSN, or one clear error at start-up, without the value: it holds a key."""
    dsn = os.environ.get("SENTRY_DSN", "").strip()
    if dsn and not ("@" in dsn and dsn.startswith(("https://", "http://"))):
        raise ImproperlyConfigured("SENTRY_DSN must be https://KEY@HOST/PROJECT; leave it unset to report nowhere.")
    return dsn


SENTRY_DSN = _sentry_dsn()
SENTRY_ENVIRONMENT = os.environ.get("SENTRY_ENVIRONMENT", "").strip() or "production"
SENTRY_RELEASE = f"chatautodm@{VERSION}"
