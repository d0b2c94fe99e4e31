"""Primary keys that any process can make: they grow with time (RFC 9562, version 7) and need no database sequence."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from uuid_utils import compat, uuid7

# So much may the clocks of two machines differ: of the one that stamps a row, and the one that makes its key.
CLOCKS_DIFFER_BY = timedelta(minutes=5)
# No row is of a time before or after; of some such times there is no key, or no number of nanoseconds.
EARLIEST, LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)


def possible(at: datetime) -> datetime:
    """The instant, or the nearest that a row can be of."""
    return min(max(at, EARLIEST), LATEST)


def new_id() -> uuid.UUID:
    """A UUIDv7: later ones sort after earlier ones, to the millisecond."""
    return compat.uuid7()


def new_id_of(at: datetime) -> uuid.UUID:
    """The same for a row whose time is not now, such as that of an event that came an hour ago."""
    return compat.uuid7(nanoseconds=int(possible(at).timestamp() * 1000) * 1_000_000)


def new_id_text() -> str:
    """The same as text, for a fraction of what it costs to make a `uuid.UUID` first."""
    return str(uuid7())


def first_id_of(at: datetime) -> uuid.UUID:
    """The least key of that millisecond: rows since then have this one or a later one."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def bounds_of(since: datetime | None, until: datetime | None) -> dict[str, uuid.UUID]:
    """The period as conditions on keys, which grow with time; a little more on either side, for clocks that differ."""
    bounds = {}
    if since is not None:
        bounds["pk__gte"] = first_id_of(possible(since) - CLOCKS_DIFFER_BY)
    if until is not None:
        bounds["pk__lt"] = first_id_of(possible(until) + CLOCKS_DIFFER_BY)
    return bounds


def time_of(key: uuid.UUID, like: datetime) -> datetime:
    """When the key was made, to the millisecond, in the time zone of `like`."""
    return datetime.fromtimestamp((key.int >> 80) / 1000, like.tzinfo)
