"""What operators have switched: how webhooks are taken, and what of the sending is paused.

One hash in Redis, `cad:switches`: `mode` and `lane:<lane>`, each with who, why, since when and until when. The claim
script reads it itself (`moves.EXCHANGE`), so a pause holds from its next call on; every other process follows it
through `current`, which looks once a second. While Redis is away the last look counts: nothing resumes by itself
because nobody could be asked (docs/adr/0025-switches.md).
"""

from __future__ import annotations

import enum
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import orjson
from django.conf import settings
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError
from rq.suspension import WORKERS_SUSPENDED

from queueops import connections
from queueops.jobs import Lane

logger = logging.getLogger(__name__)

KEY = "cad:switches"
MODE = "mode"
LOOK_SECONDS = 1.0


class Mode(enum.StrEnum):
    """queue: into the lanes. direct: processed inside the request. paused: into the lanes, and nothing is claimed."""

    QUEUE = "queue"
    DIRECT = "direct"
    PAUSED = "paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """One thing that somebody switched. at, until: Unix seconds; until None: until somebody switches it back."""

    value: str
    reason: str
    by: str
    at: float
    until: float | None = None

    def holds(self, now: float) -> bool:
        return self.until is None or now < self.until

    def story(self) -> str:
        """Who, since when, until when and why, as people are told."""
        until = "" if self.until is None else f", until {_written(self.until)}"
        reason = f": {self.reason}" if self.reason else ""
        return f"by {self.by}, since {_written(self.at)}{until}{reason}"


def _written(instant: float) -> str:
    return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True)
class Switches:
    """All of them at one look. suspended: RQ's own workers' pause (`manage.py rqsuspend`), which is of every lane."""

    by_name: Mapping[str, Switch] = field(default_factory=dict)
    suspended: bool = False

    def get(self, name: str) -> Switch | None:
        """The switch, None when it was never touched, was put back or has ended by itself."""
        found = self.by_name.get(name)
        return found if found and found.holds(time.time()) else None

    @property
    def mode(self) -> Mode:
        """Somebody's choice; otherwise what USE_QUEUE_SYSTEM says."""
        found = self.get(MODE)
        return Mode(found.value) if found else default_mode()

    def is_paused(self, lane: str) -> bool:
        """Whether nothing of this lane is claimed now."""
        return self.suspended or self.mode is Mode.PAUSED or self.pause_of(lane) is not None

    def pause_of(self, lane: str) -> Switch | None:
        """The lane's own, if there is one."""
        return self.get(lane_name(lane))

    def mode_story(self) -> str:
        """The mode, and who switched it; a line."""
        switch = self.get(MODE)
        return f"mode: {self.mode} ({switch.story()})" if switch else f"mode: {self.mode}"

    def pause_stories(self) -> list[str]:
        """Every pause beside the mode's, a line each."""
        pauses = [(lane, self.pause_of(lane)) for lane in Lane]
        lines = [f"lane {lane}: paused ({pause.story()})" for lane, pause in pauses if pause]
        return [*lines, "all workers: suspended by RQ, until manage.py rqresume"] if self.suspended else lines


def default_mode() -> Mode:
    """The environment's."""
    return Mode.QUEUE if settings.USE_QUEUE_SYSTEM else Mode.DIRECT


def lane_name(lane: str) -> str:
    return f"lane:{lane}"


def set_mode(mode: Mode, reason: str, by: str, seconds: float | None = None) -> None:
    """Switch every process, for so many seconds or until further notice. Raises RedisError, OSError."""
    _write(MODE, mode.value, reason, by, seconds)


def pause(lane: Lane, reason: str, by: str, seconds: float | None = None) -> None:
    """Claim nothing of this lane, for so many seconds or until `resume`. Raises RedisError, OSError."""
    _write(lane_name(lane), "paused", reason, by, seconds)


def resume(lane: Lane) -> bool:
    """Claim of this lane again; whether it was paused. Raises RedisError, OSError."""
    return _forget(lane_name(lane))


def reset_mode() -> bool:
    """Back to what USE_QUEUE_SYSTEM says; whether it had been switched. Raises RedisError, OSError."""
    return _forget(MODE)


def ask(pipeline: Pipeline) -> None:
    """Two commands, whose answers `note` takes."""
    pipeline.hgetall(KEY)
    pipeline.exists(WORKERS_SUSPENDED)


def _write(name: str, value: str, reason: str, by: str, seconds: float | None) -> None:
    now = time.time()
    until = None if seconds is None else now + seconds
    switch = Switch(value=value, reason=reason, by=by, at=now, until=until)
    redis = connections.client()
    redis.hset(KEY, name, orjson.dumps(asdict(switch)))
    logger.warning("action=switched name=%s value=%s by=%s until=%s reason=%s", name, value, by, until, reason)
    look(redis)


def _forget(name: str) -> bool:
    redis = connections.client()
    was_set = bool(redis.hdel(KEY, name))
    logger.warning("action=switched_back name=%s", name)
    look(redis)
    return was_set


# --- This process's view ---------------------------------------------------------------------------------------------

_lock = threading.Lock()
_seen = Switches()
_looker: threading.Thread | None = None


def current() -> Switches:
    """What held at the last look, at most a second or so ago.

    The first call looks itself, for connections.PATIENCE_SECONDS at most; later ones cost nothing.
    """
    if _looker is None:
        _start_looking()
    return _seen


def look(redis: Redis | None = None) -> None:
    """Look now. While Redis is away what was seen last goes on holding.

    redis: by which client; without one by the impatient, since who looks every second must not wait for fifteen.
    """
    try:
        with (redis or connections.impatient_client()).pipeline(transaction=False) as pipeline:
            ask(pipeline)
            note(*pipeline.execute())
    except (RedisError, OSError) as error:
        logger.debug("action=switches_unread error=%s", error)


def note(by_name: Mapping[bytes, bytes], suspended: int) -> Switches:
    """Take over what Redis has just answered to `ask`; garbage changes nothing."""
    global _seen
    try:
        _seen = Switches(
            {name.decode(): Switch(**orjson.loads(value)) for name, value in by_name.items()}, bool(suspended)
        )
    except (ValueError, TypeError) as error:
        logger.error("action=switches_unreadable key=%s error=%s", KEY, error)
    return _seen


def _start_looking() -> None:
    global _looker
    with _lock:
        if _looker is None:
            look()
            _looker = threading.Thread(target=_look_for_ever, name="switches", daemon=True)
            _looker.start()


def _look_for_ever() -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        look()


def _forget_looker() -> None:
    """A forked process starts without its parent's threads."""
    global _looker
    _looker = None


os.register_at_fork(after_in_child=_forget_looker)
