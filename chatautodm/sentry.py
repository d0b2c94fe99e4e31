"""Errors at Sentry: what is an ERROR in the log is an event there, one for each cause, without anything private.

The log is the only source. Every part of the product logs what goes wrong, in the web server, workers and commands
alike, so that Django, RQ, Redis and HTTP clients need not be patched, and the webhook's way pays nothing
(docs/adr/0020-logs-and-sentry.md).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.atexit import AtexitIntegration
from sentry_sdk.integrations.dedupe import DedupeIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.types import Event, Hint

from chatautodm import logs
from queueops import context, scrubbing
from queueops.errors import JobError

OURS = ("chatautodm", "webhooks", "automations", "queueops")
# One event for each cause and process in this time; the next one says how many were left out.
QUIET_SECONDS = 300.0
CAUSES = 1000
KEPT = frozenset(
    (
        *("event_id", "timestamp", "level", "logger", "logentry", "exception", "contexts"),
        *("platform", "release", "environment", "server_name", "sdk", "type"),
    )
)


def start() -> None:
    """Begin to report to SENTRY_DSN."""
    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        environment=settings.SENTRY_ENVIRONMENT,
        release=settings.SENTRY_RELEASE,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[
            LoggingIntegration(level=None, event_level=logging.ERROR, sentry_logs_level=None),
            DedupeIntegration(),
            AtexitIntegration(callback=lambda pending, seconds: None),
        ],
        in_app_include=list(OURS),
        # Frames' variables hold tokens and what people wrote: no scrubber could be sure of them.
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        send_client_reports=False,
        auto_session_tracking=False,
        before_send=Gate().admit,
    )


@dataclass(slots=True)
class _Seen:
    sent_at: float
    left_out: int = 0


@dataclass(slots=True)
class Gate:
    """Lets the first event of each cause through, and one in QUIET_SECONDS after it."""

    now: Callable[[], float] = time.monotonic
    _seen: OrderedDict[tuple[str, ...], _Seen] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def admit(self, event: Event, hint: Hint) -> Event | None:
        """Sentry's `before_send`: None keeps the event here."""
        fingerprint = cause(event, hint)
        left_out = self._count(fingerprint)
        if left_out is None:
            return None
        return prepared(event, hint, fingerprint, left_out)

    def _count(self, fingerprint: tuple[str, ...]) -> int | None:
        """How many like it were left out since the last that went, None when this one is left out, too."""
        now = self.now()
        with self._lock:
            seen = self._seen.get(fingerprint)
            if seen is not None and now - seen.sent_at < QUIET_SECONDS:
                seen.left_out += 1
                return None
            self._seen[fingerprint] = _Seen(now)
            self._seen.move_to_end(fingerprint)
            while len(self._seen) > CAUSES:
                self._seen.popitem(last=False)
            return seen.left_out if seen else 0


def cause(event: Event, hint: Hint) -> tuple[str, ...]:
    """What makes two events one: the kind of exception, where in our code, and the peer's own codes.

    Without an exception the template of the log line, whatever its values are.
    """
    kind, error, trace = hint.get("exc_info") or (None, None, None)
    if kind is None:
        record = hint.get("log_record")
        return (str(event.get("logger", "")), str(record.msg) if record is not None else "")
    codes = (error.cause.code, error.cause.subcode) if isinstance(error, JobError) and error.cause else ()
    return (f"{kind.__module__}.{kind.__qualname__}", _place(trace), *map(str, codes))


def _place(trace: TracebackType | None) -> str:
    """Module and function of the innermost frame that is ours, or else of the innermost."""
    place, ours = "", False
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        is_ours = module.split(".")[0] in OURS
        if is_ours or not ours:
            place, ours = f"{module}.{trace.tb_frame.f_code.co_name}", ours or is_ours
        trace = trace.tb_next
    return place


def prepared(event: Event, hint: Hint, fingerprint: tuple[str, ...], left_out: int) -> Event:
    """Only what is known to be of use, scrubbed; with the log line's fields, and the route of a request."""
    kept: dict[str, Any] = {name: value for name, value in event.items() if name in KEPT}
    record: logging.LogRecord | None = hint.get("log_record")
    details = _details(record) if record is not None else {}
    scrubbed: dict[str, Any] = scrubbing.scrub_all(kept)
    scrubbed["contexts"] = {**scrubbed.get("contexts", {}), "log": scrubbing.scrub_all(details)}
    scrubbed["contexts"]["repeated"] = {"left_out_since_the_last": left_out}
    scrubbed["fingerprint"] = list(fingerprint)
    scrubbed["tags"] = {name: str(details[name]) for name in ("action", "lane", "route") if name in details}
    return scrubbed  # type: ignore[return-value] # a TypedDict that went through a dict


def _details(record: logging.LogRecord) -> dict[str, Any]:
    args = record.args if isinstance(record.args, tuple) else ()
    found = logs.fields(str(record.msg), args)
    match = getattr(getattr(record, "request", None), "resolver_match", None)
    if match is not None:
        found["route"] = match.route
    run = context.current.get()
    return found if run is None else {"job": run.job, "lane": run.lane, "attempt": run.attempt, **found}
