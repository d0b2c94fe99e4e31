"""Primary keys that any process can make: they grow with time (RFC 9562, version 7) and need no database sequence."""

from __future__ import annotations

import uuid

from uuid_utils import compat


def new_id() -> uuid.UUID:
    """A UUIDv7: later ones sort after earlier ones, to the millisecond."""
    return compat.uuid7()
