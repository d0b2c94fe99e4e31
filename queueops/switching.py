"""What operators may switch, done and written into the audit log: by page, command or key alike."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass

from django.db import DatabaseError, InterfaceError

from queueops import audit, switches
from queueops.audit import COMMAND, Act, By
from queueops.jobs import Lane
from queueops.models import Console
from queueops.switches import Mode

PAUSED, RESUMED, DEFAULT = "paused", "resumed", "default"


class NotRecorded(Exception):
    """It was switched, and the audit log could not be written."""


@dataclass(frozen=True, slots=True)
class Order:
    """to: a Mode or "default"; for a lane "paused" or "resumed". lane: None for the mode."""

    to: str
    lane: Lane | None = None

    @property
    def subject(self) -> str:
        """`mode`, or the lane's name."""
        return "mode" if self.lane is None else self.lane.value

    @property
    def permission(self) -> str:
        return "queueops.switch_mode" if self.lane is None else "queueops.pause_lane"

    @property
    def sets(self) -> bool:
        """Whether it sets something, with a reason and perhaps an end; otherwise it takes that back."""
        return self.to not in (RESUMED, DEFAULT)

    @property
    def title(self) -> str:
        if self.lane is not None:
            return f"{'Pause' if self.to == PAUSED else 'Resume'} lane {self.lane}"
        return "Switch the mode back to its default" if self.to == DEFAULT else f"Switch the mode to {self.to}"

    @property
    def label(self) -> str:
        """On a button."""
        if self.lane is not None:
            return "Pause" if self.to == PAUSED else "Resume"
        return self.to.capitalize()

    @property
    def done(self) -> str:
        if self.lane is not None:
            return f"Lane {self.lane} is {PAUSED}" if self.to == PAUSED else f"Lane {self.lane} goes on"
        return "The mode is the default" if self.to == DEFAULT else f"The mode is {self.to}"


MODE_ORDERS = tuple(Order(to) for to in (*map(str, Mode), DEFAULT))
LANE_ORDERS = tuple(Order(to, lane) for lane in Lane for to in (PAUSED, RESUMED))
ORDERS = {(order.subject, order.to): order for order in (*MODE_ORDERS, *LANE_ORDERS)}


def carry_out(order: Order, by: By, seconds: float | None = None) -> bool:
    """Switch every process within 2 s, for so many seconds or until further notice.

    False: there was nothing to take back. Raises RedisError, OSError, EmbeddedValkeyError: nothing was switched, as far
    as anybody knows; NotRecorded: it was.
    """
    if not _switch(order, by, seconds):
        return False
    name = switches.MODE if order.lane is None else switches.lane_name(order.lane)
    minutes = None if seconds is None else max(round(seconds / 60), 1)
    act = Act(
        by=by,
        action="switch_mode" if order.lane is None else f"{'pause' if order.to == PAUSED else 'resume'}_lane",
        kind=audit.kind_of(Console),
        targets=[(name, name)],
        details={"to": order.to, "minutes": minutes},
    )
    try:
        audit.record(act)
    except (DatabaseError, InterfaceError) as error:
        raise NotRecorded(f"It was switched, but the audit log could not be written: {error}") from error
    return True


def _switch(order: Order, by: By, seconds: float | None) -> bool:
    if order.to == DEFAULT:
        return switches.reset_mode()
    if order.to == RESUMED and order.lane is not None:
        return switches.resume(order.lane)
    if order.lane is not None:
        switches.pause(order.lane, by.reason, by.who, seconds)
    else:
        switches.set_mode(Mode(order.to), by.reason, by.who, seconds)
    return True


def by_shell(reason: str) -> By:
    """Whoever has the shell; a container's user may have no name."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return By(None, COMMAND, reason, shell=name)
