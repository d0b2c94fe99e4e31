"""Every door of the console and the API: what it takes to act through it, or that nobody acts there.

An address with {names} is filled in from the rows that the tests make; so is a value of a form that begins with @.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ROLES = ("anonymous", "viewer", "operator", "manager", "superuser")


@dataclass(frozen=True, slots=True)
class Door:
    """Something that is done by a POST. who: the least of ROLES that may; takes: all the permissions that it needs."""

    address: str
    who: str
    takes: tuple[str, ...]
    form: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.address, str(self.form.get("action", ""))]).strip()


Q, A = "/admin/queueops", "/admin/automations"
REASON = {"reason": "because"}
RULE = {
    "trigger": "dm",
    "match": "any",
    "keywords": "",
    "actions": '[{"type": "dm", "text": "hi"}]',
    "priority": "0",
    "is_active": "on",
}
PERSON = {"is_active": "on", "date_joined_0": "2026-01-01", "date_joined_1": "00:00:00"}
PASSWORD = {"password1": "correct horse battery", "password2": "correct horse battery", "usable_password": "true"}


def _on_list(action: str, row: str, **more: str) -> dict[str, str]:
    return {"action": action, "_selected_action": f"@{row}", **REASON, **more}


def _set_up(model: str, form: dict[str, str], app: str = "automations", who: str = "manager") -> Iterator[Door]:
    """Add, change and delete. form: what is sent; `spare_…` is the row that nothing else hangs on."""
    listing, spare = f"/admin/{app}/{model}/", f"spare_{model}"
    view, delete = f"{app}.view_{model}", f"{app}.delete_{model}"
    yield Door(f"{listing}add/", who, (f"{app}.add_{model}",), form)
    yield Door(f"{listing}{{{spare}}}/change/", who, (f"{app}.change_{model}",), form)
    yield Door(f"{listing}{{{spare}}}/delete/", who, (delete,), {"post": "yes"})
    yield Door(listing, who, (view, delete), _on_list("delete_selected", spare, post="yes"))


DOORS = (
    # --- Dead letters
    Door(f"{Q}/deadletter/{{letter}}/retry/", "operator", ("queueops.retry_deadletter",), REASON),
    Door(f"{Q}/deadletter/{{letter}}/discard/", "operator", ("queueops.discard_deadletter",), REASON),
    Door(
        f"{Q}/deadletter/",
        "operator",
        ("queueops.view_deadletter", "queueops.bulk_retry_deadletter"),
        _on_list("retry_selected", "letter"),
    ),
    Door(
        f"{Q}/deadletter/",
        "operator",
        ("queueops.view_deadletter", "queueops.discard_deadletter"),
        _on_list("discard_selected", "letter"),
    ),
    Door("/api/dead-letters/{letter}/retry", "operator", ("queueops.retry_deadletter",), REASON),
    Door("/api/dead-letters/retry", "operator", ("queueops.bulk_retry_deadletter",), REASON),
    Door(
        f"{Q}/deadletter/{{letter}}/edit/",
        "manager",
        ("queueops.edit_deadletter", "queueops.retry_deadletter", "queueops.see_text"),
        {"args": '[{"name": "k1", "kind": "message"}, {"id": "r", "at": "2026-01-01T00:00:00+00:00"}]', **REASON},
    ),
    # --- Many dead letters at once, and what they have in common
    Door(
        f"{Q}/operation/plan/retry/?kind=message",
        "operator",
        ("queueops.view_deadletter", "queueops.bulk_retry_deadletter"),
        {"canary": "0", "pace": "50", **REASON},
    ),
    Door(
        f"{Q}/operation/plan/discard/?kind=message",
        "operator",
        ("queueops.view_deadletter", "queueops.discard_deadletter"),
        {"pace": "50", **REASON},
    ),
    Door(
        f"{Q}/operation/{{asked}}/consent/",
        "manager",
        ("queueops.discard_deadletter", "queueops.consent_operation"),
        REASON,
    ),
    Door(f"{Q}/operation/{{asked}}/cancel/", "operator", ("queueops.discard_deadletter",), REASON),
    Door(f"{Q}/operation/{{halted}}/cancel/", "operator", ("queueops.bulk_retry_deadletter",), REASON),
    Door(f"{Q}/operation/{{halted}}/go-on/", "operator", ("queueops.bulk_retry_deadletter",), REASON),
    Door(f"{Q}/cause/{{cause}}/resolve/", "operator", ("queueops.resolve_cause",), REASON),
    Door(f"{Q}/cause/{{resolved}}/reopen/", "operator", ("queueops.resolve_cause",), REASON),
    # --- Switches
    Door(f"{Q}/console/switch/high/paused/", "operator", ("queueops.view_console", "queueops.pause_lane"), REASON),
    Door(f"{Q}/console/switch/mode/direct/", "manager", ("queueops.view_console", "queueops.switch_mode"), REASON),
    # --- Alerts
    Door(
        f"{Q}/alert/{{alert}}/acknowledge/", "operator", ("queueops.view_alert", "queueops.acknowledge_alert"), REASON
    ),
    # --- Events
    Door(
        f"{A}/event/replay/?id__exact={{unanswered}}",
        "operator",
        ("automations.view_event", "automations.replay_event"),
        REASON,
    ),
    # --- Deliveries
    Door(f"{A}/delivery/{{delivery}}/mark-sent/", "operator", ("automations.settle_delivery",), REASON),
    Door(f"{A}/delivery/{{delivery}}/send-again/", "operator", ("automations.settle_delivery",), REASON),
    # --- What customers set up
    Door(
        f"{A}/account/",
        "operator",
        ("automations.view_account", "automations.pause_account"),
        _on_list("pause_selected", "spare_account", minutes="5"),
    ),
    Door(
        f"{A}/account/",
        "operator",
        ("automations.view_account", "automations.pause_account"),
        _on_list("resume_selected", "paused"),
    ),
    *_set_up("account", {"workspace": "@workspace", "instagram_id": "17", "username": "new.shop", "status": "active"}),
    *_set_up("automation", {"account": "@account", "name": "New rule", **RULE}),
    *_set_up("workspace", {"name": "New customer", "time_zone": "UTC"}),
    # --- Who may do what
    Door(
        f"{Q}/apitoken/add/",
        "manager",
        ("queueops.add_apitoken",),
        {"name": "monitor", "user": "@spare_user", "scope": "read", **REASON},
    ),
    Door(f"{Q}/apitoken/{{token}}/revoke/", "manager", ("queueops.revoke_apitoken",), REASON),
    Door(
        f"{Q}/apitoken/",
        "manager",
        ("queueops.view_apitoken", "queueops.revoke_apitoken"),
        _on_list("revoke_selected", "token"),
    ),
    Door("/admin/auth/user/add/", "manager", ("auth.add_user", "auth.change_user"), {"username": "tom", **PASSWORD}),
    Door("/admin/auth/user/{spare_user}/change/", "manager", ("auth.change_user",), {"username": "tom", **PERSON}),
    Door("/admin/auth/user/{spare_user}/password/", "manager", ("auth.change_user",), PASSWORD),
    Door("/admin/auth/user/{spare_user}/delete/", "superuser", ("auth.delete_user",), {"post": "yes"}),
    Door(
        "/admin/auth/user/",
        "superuser",
        ("auth.view_user", "auth.delete_user"),
        _on_list("delete_selected", "spare_user", post="yes"),
    ),
    *_set_up("group", {"name": "a new group"}, app="auth", who="superuser"),
    # --- What is taken away is written down
    Door(f"{Q}/auditentry/export/csv/", "viewer", ("queueops.view_auditentry",)),
    Door(f"{Q}/deadletter/export/", "viewer", ("queueops.view_deadletter",)),
    Door(f"{A}/event/export/", "viewer", ("automations.view_event",)),
    # --- RQ's own pages: each POST is written down, whatever it does
    *(
        Door(f"/admin/django_rq/dashboard/{path}", "superuser", ("django_rq.admin", "queueops.see_text"), form)
        for path, form in (
            ("", {}),
            ("queues/0/", {}),
            ("queues/0/details/", {}),
            ("queues/0/finished/", {}),
            ("queues/0/failed/", {}),
            ("queues/0/failed/clear/", {}),
            ("queues/0/scheduled/", {}),
            ("queues/0/started/", {}),
            ("queues/0/deferred/", {}),
            ("queues/0/empty/", {}),
            ("queues/0/requeue-all/", {}),
            ("queues/0/k1/", {}),
            ("queues/0/k1/requeue/", {}),
            ("queues/0/k1/delete/", {"post": "yes"}),
            ("queues/0/k1/enqueue/", {}),
            ("queues/0/k1/stop/", {}),
            ("queues/confirm-action/0/", {"action": "delete", "_selected_action": "k1"}),
            ("queues/actions/0/", {"action": "delete", "job_ids": "k1"}),
            ("workers/0/", {}),
            ("stats.json", {}),
            ("stats.json/token", {}),
            ("metrics", {}),
        )
    ),
)


def _no_forms(model: str, row: str, app: str = "automations") -> Iterator[str]:
    """The admin's own forms for rows that the system itself makes and ends."""
    listing = f"/admin/{app}/{model}/"
    yield f"{listing}add/"
    yield from (f"{listing}{{{row}}}/{path}" for path in ("change/", "delete/", "history/", ""))


_REST = ("history/", "")

# A POST to these changes nothing, whoever sends it.
READING = (
    *_no_forms("deadletter", "letter", "queueops"),
    *_no_forms("auditentry", "entry", "queueops"),
    *_no_forms("cause", "cause", "queueops"),
    *_no_forms("operation", "asked", "queueops"),
    *_no_forms("alert", "alert", "queueops"),
    *_no_forms("apitoken", "token", "queueops"),
    *_no_forms("contact", "contact"),
    *_no_forms("conversation", "contact"),
    *_no_forms("event", "event"),
    *_no_forms("delivery", "delivery"),
    *_no_forms("dashboard", "account", "django_rq"),
    *(f"{A}/{model}/{{spare_{model}}}/{path}" for model in ("account", "automation", "workspace") for path in _REST),
    *(f"/admin/auth/{model}/{{spare_{model}}}/{path}" for model in ("user", "group") for path in _REST),
    *(f"{A}/{model}/" for model in ("contact", "conversation", "event", "delivery")),
    *(f"{Q}/{path}" for path in ("alert/", "auditentry/", "auditentry/verify/", "cause/", "operation/")),
    *(f"{Q}/console/{path}" for path in ("", "body/", "kept/1-0/")),
    f"{A}/event/why/",
    f"{A}/event/by-key/k1/",
    f"{A}/automation/{{spare_automation}}/try/",
    f"{A}/automation/backtest/",
    *(
        f"/admin/django_rq/dashboard/{path}"
        for path in (
            "queues/0/k1/results/1/",
            "workers/0/nobody/",
            "schedulers/0/",
            "cron-schedulers/0/nobody/",
            "cron-schedulers/0/nobody/jobs/none/",
        )
    ),
    "/",
    "/trace/k1",
    "/metrics",
    *(
        f"/api/{path}"
        for path in ("queue-stats", "webhooks/queue-stats", "dead-letters", "events/k1", "schema", "docs")
    ),
    "/api/nowhere",
    "/admin/",
    "/admin/login/",
    "/admin/logout/",
    "/admin/search/",
    "/admin/autocomplete/",
    "/admin/jsi18n/",
    "/admin/password_change/",  # one's own, with the old one
    "/admin/password_change/done/",
    "/admin/r/1/1/",
    "/admin/queueops/",
    "/admin/nowhere/",
)

# Doors that take no user: Meta's signature opens this one.
ELSEWHERE = ("api/webhooks/instagram",)
