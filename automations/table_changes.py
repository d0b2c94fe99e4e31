"""Changes made past the ORM: PostgreSQL's triggers tell of them on a channel, and the caches forget what they hold.

A notification is "<what> <Instagram user id>", with `*` where the id cannot be told (migration 0002). It arrives after
the commit. While nobody listens it is lost: whoever begins to listen evicts everything first.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import Any

from django.db import DatabaseError, connection
from psycopg import Error, Notify

from automations.receivers import everything_changed, renew_vips
from automations.shared_cache import EVERYTHING, publish_eviction

logger = logging.getLogger(__name__)

CHANNEL = "cad_evict"
# How long a told stop may take, and how often a quiet connection is asked whether it still is one.
LOOK_SECONDS = 1.0
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
# Of libpq: without these a peer that vanished is waited for as long as the kernel pleases.
NAME = "sync_automation_cache"  # of the connection, as pg_stat_activity shows it
OPTIONS = {"connect_timeout": 10, "tcp_user_timeout": 10_000, "application_name": NAME}
# More accounts than this at once, and forgetting everything is cheaper.
ACCOUNTS_ONE_BY_ONE = 100


def can_tell() -> bool:
    """Whether this database tells of changes."""
    return connection.vendor == "postgresql"


def follow(stop: Event, on_listening: Callable[[], None]) -> None:
    """Evict what changes until `stop` is set; `on_listening` is called whenever from now on nothing is missed.

    A lost connection is opened again, after 1 s and then after longer and longer, up to 30 s.
    """
    wait = FIRST_WAIT_SECONDS
    while not stop.is_set():
        try:
            with _listening() as channel:
                everything_changed()
                on_listening()
                wait = FIRST_WAIT_SECONDS
                _evict_until(stop, channel)
        except (DatabaseError, Error, OSError) as error:
            logger.warning("action=table_changes_deaf error=%s retry_in=%.0f", " ".join(str(error).split()), wait)
            stop.wait(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)
            connection.close_if_unusable_or_obsolete()


@contextlib.contextmanager
def _listening() -> Iterator[Any]:
    """A connection of its own, for the ORM uses the other one meanwhile."""
    own = connection.copy()
    own.settings_dict["OPTIONS"] = {**own.settings_dict.get("OPTIONS", {}), **OPTIONS}
    try:
        own.connect()
        own.connection.execute(f"LISTEN {CHANNEL}")
        yield own.connection
    finally:
        own.close()


def _evict_until(stop: Event, channel: Any) -> None:
    while not stop.is_set():
        heard = list(channel.notifies(timeout=LOOK_SECONDS, stop_after=1))
        if heard:
            _evict(heard)
        else:
            channel.execute("SELECT 1")  # a connection that died quietly says so now


def _evict(heard: Iterable[Notify]) -> None:
    changes = [notify.payload.split(" ", 1) for notify in heard]
    accounts = {account for _, account in changes}
    if EVERYTHING in accounts or len(accounts) > ACCOUNTS_ONE_BY_ONE:
        accounts = {EVERYTHING}
    for account in accounts:
        publish_eviction(account)
    if any(what != "automation" for what, _ in changes):
        renew_vips()
    logger.info("action=table_changes evicted=%s", ",".join(sorted(accounts)))
