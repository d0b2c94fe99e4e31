"""How the console looks and what its navigation holds (django-unfold reads `settings.UNFOLD`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _may(permission: str) -> Callable[[HttpRequest], bool]:
    def may(request: HttpRequest) -> bool:
        return request.user.has_perm(permission)

    return may


def _item(title: str, icon: str, url_name: str, permission: str, **more: Any) -> dict[str, Any]:
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{url_name}"),
        "permission": _may(permission),
        **more,
    }


def _stylesheet(request: HttpRequest) -> str:
    return static("queueops/console.css")


def _keyboard(request: HttpRequest) -> str:
    return static("queueops/keyboard.js")


def _icon(request: HttpRequest) -> str:
    return static("queueops/icon.svg")


def _is_among_events(request: HttpRequest) -> bool:
    """“Why?” lies below the events' address, and has an item of its own."""
    name = request.resolver_match.url_name if request.resolver_match else None
    return (name or "").startswith("automations_event_") and name != "automations_event_why"


def _list(title: str, icon: str, app: str, model: str, **more: Any) -> dict[str, Any]:
    return _item(title, icon, f"{app}_{model}_changelist", f"{app}.view_{model}", **more)


# Unfold's log-in form does not carry the page to go to, and Django's own default exists nowhere here.
LOGIN_REDIRECT_URL = "admin:index"
FORMAT_MODULE_PATH = ["chatautodm.formats"]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "ChatAutoDM",
    "SITE_HEADER": "ChatAutoDM",
    "SITE_SUBHEADER": "Console",
    "SITE_SYMBOL": "forum",
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": _icon}],
    "STYLES": [_stylesheet],
    "SCRIPTS": [_keyboard],
    "DASHBOARD_CALLBACK": "queueops.console.dashboard",
    "SIDEBAR": {
        "show_search": False,
        "navigation": [
            {
                "title": "Queue",
                "items": [
                    _item("Overview", "monitoring", "queueops_console_changelist", "queueops.view_console"),
                    _list(
                        "Alerts", "notifications_active", "queueops", "alert", badge="queueops.alerts_admin.open_badge"
                    ),
                    _list("Dead letters", "inbox", "queueops", "deadletter", badge="queueops.console.dead_badge"),
                    _list("Causes", "category", "queueops", "cause"),
                    _list("Operations", "playlist_play", "queueops", "operation"),
                    _item("RQ", "stacks", "django_rq_dashboard_changelist", "django_rq.admin"),
                ],
            },
            {
                "title": "What happened",
                "items": [
                    _item("Why?", "help", "automations_event_why", "automations.view_event"),
                    _list("Events", "notifications", "automations", "event", active=_is_among_events),
                    _list("Deliveries", "send", "automations", "delivery"),
                    _list("Contacts", "group", "automations", "contact"),
                    _list("Conversations", "chat", "automations", "conversation"),
                ],
            },
            {
                "title": "Set-up",
                "items": [
                    _list("Automations", "bolt", "automations", "automation"),
                    _list("Accounts", "alternate_email", "automations", "account"),
                    _list("Workspaces", "store", "automations", "workspace"),
                ],
            },
            {
                "title": "Access",
                "items": [
                    _list("Users", "person", "auth", "user"),
                    _list("Groups", "groups", "auth", "group"),
                    _list("API tokens", "key", "queueops", "apitoken"),
                    _list("Audit log", "history", "queueops", "auditentry"),
                ],
            },
        ],
    },
}
