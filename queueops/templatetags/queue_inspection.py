"""What the last inspection of the queue said, as one line of the console."""

from __future__ import annotations

from typing import Any

from django import template
from redis.exceptions import RedisError

from queueops import connections, inspection
from queueops.embedded import EmbeddedValkeyError

register = template.Library()


@register.inclusion_tag("queueops/inspection_line.html")
def inspection_line() -> dict[str, Any]:
    """Nothing while Redis is away: the page says so already."""
    try:
        return {"inspection": inspection.last(connections.client()), "is_known": True}
    except (RedisError, OSError, EmbeddedValkeyError):
        return {"is_known": False}
