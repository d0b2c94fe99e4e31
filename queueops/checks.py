"""What can be wrong with the queue's settings, said at start-up with a stable id."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

from queueops import durability


@register()
def server_keeps_what_it_takes(**kwargs: Any) -> list[CheckMessage]:
    """queueops.W002 to W007: how a webhook that was answered with 200 may be lost; nothing while no server answers.

    The embedded Valkey is not asked: nobody but the project itself sets it up.
    """
    risks = durability.risks() if settings.REDIS_URL else []
    return [Warning(risk.words, hint=risk.hint, id=risk.id) for risk in risks]


@register(deploy=True)
def alerts_reach_somebody(**kwargs: Any) -> list[CheckMessage]:
    """queueops.W008: nobody would be told what is wrong."""
    if settings.DEBUG or settings.ALERT_EMAILS or settings.ALERT_WEBHOOK_URL:
        return []
    return [
        Warning(
            "Alerts reach nobody: what is wrong stands on the console only.",
            hint="Set ALERT_EMAILS (with EMAIL_URL), ALERT_WEBHOOK_URL, or both; try them with manage.py test_alert.",
            id="queueops.W008",
        )
    ]
