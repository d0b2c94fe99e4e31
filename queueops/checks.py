"""What can be wrong with the queue's settings, said at start-up with a stable id."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

# Read and checked, so that a wrong value is an error today; what they ask for is not built yet.
WITHOUT_EFFECT: dict[str, tuple[Any, str]] = {
    "USE_QUEUE_SYSTEM": (True, "Webhooks go through the queue all the same; keep a worker running."),
    "QUEUE_WORKERS": (0, "The web server starts no workers; run `manage.py rqworker high default low` beside it."),
    "QUEUE_MAX_WEBHOOKS_PER_MINUTE": (10_000, "Webhooks are taken without that limit."),
    "QUEUE_MAX_DEPTH": (1_000_000, "Redis takes events without that limit."),
    "PACING_MESSAGES_PER_SECOND": (100, "Messages are paced by Meta's own answers only."),
    "PACING_MEDIA_PER_SECOND": (10, "Media are paced by Meta's own answers only."),
    "PACING_PRIVATE_REPLIES_PER_HOUR": (750, "Private replies are paced by Meta's own answers only."),
}


@register()
def settings_without_effect(**kwargs: Any) -> list[CheckMessage]:
    """queueops.W001 for each variable that somebody set and that does nothing yet."""
    return [
        Warning(f"{name} has no effect yet.", hint=hint, id="queueops.W001")
        for name, (default, hint) in WITHOUT_EFFECT.items()
        if getattr(settings, name) != default
    ]
