"""How a line of the log looks: for people (`console`) or for machines (`json`); scrubbed in both (queueops.scrubbing).

Everybody logs with the standard library, as `logger.info("action=job_dead job=%s", job.id)`: `fields` makes the
template's `name=%s` pairs into fields with their values, numbers remaining numbers. structlog does the rest
(docs/adr/0020-logs-and-sentry.md).
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from queueops import context, scrubbing

_PAIR = re.compile(r"(?:^| )([a-z_]+)=(%[^\s%]*[a-zA-Z]|[^\s%]+)(?= |$)")
_PLACE = re.compile(r"%[^\s%]*[a-zA-Z]")

logger = logging.getLogger("chatautodm")


def formatter(form: str) -> structlog.stdlib.ProcessorFormatter:
    """The formatter of every handler; `form` is LOG_FORMAT."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.format_exc_info,
            structlog.processors.StackInfoRenderer(),
        ],
        processors=_FORMS[form],
        pass_foreign_args=True,
    )


def fields(template: str, args: tuple[Any, ...]) -> dict[str, Any]:
    """The pairs of `action=job_dead job=%s attempts=%d`, with their values; nothing for any other sentence.

    What is not JSON's own becomes text. A template that has more places than pairs gives those it has in order.
    """
    if not template.startswith("action="):
        return {}
    places = _PLACE.findall(template)
    values = iter(args if len(args) == len(places) else ())
    found: dict[str, Any] = {}
    for name, value in _PAIR.findall(template):
        found[name] = _plain(next(values, None)) if value.startswith("%") else value
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | None) else str(value)


def _with_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The pairs of the template, and the job in which it was logged."""
    record: logging.LogRecord = event["_record"]
    args = event.pop("positional_args", None)
    template = record.msg if isinstance(record.msg, str) else ""
    found = fields(template, args if isinstance(args, tuple) else ())
    run = context.current.get()
    if run is not None:
        found = {"job": run.job, "lane": run.lane, "attempt": run.attempt, **found}
    event["fields"] = found
    return event


def _scrubbed(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {name: value if name.startswith("_") else scrubbing.scrub_all(value) for name, value in event.items()}


def _as_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    """2026-01-31 12:00:00,123 WARNING queueops.runner action=job_dead job=…"""
    text = str(event["event"])
    further = [f"{name}={value}" for name, value in event["fields"].items() if f"{name}=" not in text]
    head = (_CLOCK.formatTime(event["_record"]), str(event["level"]).upper(), event["logger"], text, *further)
    below = [event[name] for name in ("exception", "stack") if event.get(name)]
    return "\n".join((" ".join(head), *below))


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    """One object a line: at, level, logger, event (the whole sentence), then its fields."""
    record: logging.LogRecord = event["_record"]
    at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    own = {"at": at, "level": event["level"], "logger": event["logger"], "event": event["event"]}
    further = {name: event[name] for name in ("exception", "stack") if event.get(name)}
    return orjson.dumps({**event["fields"], **own, **further}, default=str).decode()


_CLOCK = logging.Formatter()
_FORMS: dict[str, list[Processor]] = {
    "console": [_with_fields, _scrubbed, _as_line],
    "json": [_with_fields, _scrubbed, _as_json],
}


def log_crashes() -> None:
    """Let what nobody catches end in the log, scrubbed, where the interpreter would print it as it is."""
    sys.excepthook = _crashed
    threading.excepthook = lambda args: _crashed(args.exc_type, args.exc_value, args.exc_traceback)


def _crashed(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is None or not isinstance(error, Exception):
        sys.__excepthook__(kind, error or kind(), trace)  # Ctrl-C and the like
        return
    logger.critical("action=crashed error=%s", kind.__name__, exc_info=(kind, error, trace))
