"""The strip of open alerts, for any page of the console."""

from __future__ import annotations

from typing import Any

from django import template

from queueops import alerts

SHOWN = 5

register = template.Library()


@register.inclusion_tag("queueops/alerts_strip.html", takes_context=True)
def alerts_strip(context: dict[str, Any]) -> dict[str, Any]:
    """The worst and oldest, for those who may see alerts."""
    request = context.get("request")
    if request is None or not request.user.has_perm("queueops.view_alert"):
        return {"alerts": [], "more": False}
    found = alerts.open_now(request.user, SHOWN + 1)
    return {"alerts": found[:SHOWN], "more": len(found) > SHOWN}
