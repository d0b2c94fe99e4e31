"""A round of looking at all conditions, once a minute in the whole installation, and telling whoever is to know.

In steps:
1. Take the round: move `AlertRound` on, which only one can do. A worker takes one that is TAKE_SECONDS old. A web
   process takes one that is MISSED_SECONDS old: nobody did two in a row, so that perhaps no worker runs at all.
2. Find what is wrong, and bring the alerts to that (`queueops.alerts`).
3. Tell each destination what it has not been told, in one message, and write down that it was. One that cannot be
   reached is told in the next round; who is killed between telling and writing lets it be told twice, never not at all.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from django.db import DatabaseError, InterfaceError, close_old_connections, connection
from django.utils import timezone

from queueops import alerts, destinations, stats
from queueops.alert_messages import OPENED, RESOLVED, STILL_OPEN, Notice, compose
from queueops.alerts import Look
from queueops.destinations import Send, Undelivered
from queueops.models import Alert, AlertRound

logger = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
TAKE_SECONDS = 50.0
MISSED_SECONDS = 150.0
REPEAT_SECONDS = 4 * 3600.0
# What could not be told for so long nobody wants to hear any more.
STALE_SECONDS = 24 * 3600.0
THE_ROUND = 1
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


def who() -> str:
    """This process, for the console: on which host, and its id there."""
    return f"{socket.gethostname()}:{os.getpid()}"[:150]


def turn(by: str, older_than: float = TAKE_SECONDS) -> bool:
    """Do the round if the last one is that many seconds old; whether it was. Raises DatabaseError, InterfaceError."""
    now = timezone.now()
    if not _take(by, now, older_than):
        return False
    look = Look(now, stats.snapshot())
    alerts.take_down(alerts.find(look, alerts.registered().values()), now)
    tell(now)
    return True


def turn_of_thread(by: str, older_than: float) -> None:
    """The same in a thread of its own, which keeps no connection. Without the database nothing can be done but say so.

    What is wrong meanwhile is known by `/readyz`, `/metrics` and the log.
    """
    try:
        close_old_connections()
        turn(by, older_than)
    except (DatabaseError, InterfaceError) as error:
        logger.warning("action=alerts_unknown error=%s", " ".join(str(error).split()))
    finally:
        connection.close()


def _take(by: str, now: datetime, older_than: float) -> bool:
    due = AlertRound.objects.filter(pk=THE_ROUND, looked_at__lte=now - timedelta(seconds=older_than))
    if due.update(looked_at=now, looked_by=by):
        return True
    if AlertRound.objects.filter(pk=THE_ROUND).exists():
        return False
    AlertRound.objects.bulk_create([AlertRound(pk=THE_ROUND, looked_at=NEVER)], ignore_conflicts=True)
    return bool(due.update(looked_at=now, looked_by=by))


def last_round() -> AlertRound | None:
    """When the conditions were last looked at, and by whom; None: never yet."""
    return AlertRound.objects.filter(pk=THE_ROUND).first()


def tell(now: datetime) -> None:
    """Tell every destination what it is owed."""
    sends = destinations.configured()
    if not sends:
        return
    open_ones = list(Alert.objects.open())
    recent = Alert.objects.filter(closed_at__gte=now - timedelta(seconds=STALE_SECONDS), opened_at__isnull=False)
    candidates = [*open_ones, *recent.order_by("closed_at")]
    for name, send in sends.items():
        notices = [Notice(alert, what) for alert in candidates if (what := owed(alert, name, now))]
        if notices:
            _tell(name, send, notices, now)


def owed(alert: Alert, destination: str, now: datetime) -> str:
    """What the destination is still to be told about the alert; "" when nothing.

    One that came and went while the destination was away is told at its end. Who has acknowledged it knows of it.
    """
    what, at = alert.told.get(destination, ["", ""])
    if alert.closed_at is not None:
        return RESOLVED if what != RESOLVED else ""
    if alert.acknowledged_at is not None:
        return ""
    if not what:
        return OPENED
    return STILL_OPEN if now - datetime.fromisoformat(at) >= timedelta(seconds=REPEAT_SECONDS) else ""


def _tell(name: str, send: Send, notices: Sequence[Notice], now: datetime) -> None:
    try:
        answer = send(compose(notices))
    except Undelivered as error:
        logger.warning("action=alerts_untold destination=%s n=%d error=%s", name, len(notices), error)
        return
    logger.info("action=alerts_told destination=%s n=%d answer=%s", name, len(notices), answer)
    for notice in notices:
        alert = notice.alert
        alert.told[name] = [RESOLVED if notice.what == RESOLVED else OPENED, now.isoformat()]
        alert.notified_at = now
    Alert.objects.bulk_update([notice.alert for notice in notices], ["told", "notified_at"], 200)


def start_watching() -> threading.Thread:
    """Have a thread of this web process do the rounds that nobody else does."""
    thread = threading.Thread(target=_watch_for_ever, args=(f"web {who()}",), name="alerts", daemon=True)
    thread.start()
    return thread


def _watch_for_ever(by: str) -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        turn_of_thread(by, MISSED_SECONDS)
