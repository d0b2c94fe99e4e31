"""What Django's checks say at start-up about a webhook that cannot work."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning


def instagram_is_configured(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """webhooks.W001 and webhooks.W002: the app secret and the verify token are not set."""
    messages: list[CheckMessage] = []
    if not settings.INSTAGRAM_APP_SECRET:
        messages.append(
            Warning(
                "INSTAGRAM_APP_SECRET is not set: every webhook is refused with 401.",
                hint=(
                    "Set it to the app secret of Meta's App Dashboard (Instagram > API setup, and Settings > Basic). "
                    "Several are separated by commas; a signature by any of them is good."
                ),
                id="webhooks.W001",
            )
        )
    if not settings.INSTAGRAM_VERIFY_TOKEN:
        messages.append(
            Warning(
                "INSTAGRAM_VERIFY_TOKEN is not set: Meta's handshake never succeeds.",
                hint="Set it to a random text, and give the same one as “Verify token” in Meta's App Dashboard.",
                id="webhooks.W002",
            )
        )
    return messages
