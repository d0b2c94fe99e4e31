"""Every page of the console, with something to show on each of them.

RQ's own pages are not among them: their templates are django-rq's, and what they do our own pages do better.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from automations.models import Account, Automation, Contact, Conversation, Delivery, Event, Workspace
from queueops import console, switching
from queueops.audit import CONSOLE, By
from queueops.jobs import Lane
from queueops.models import Alert, ApiToken, AuditEntry, Cause, DeadLetter, Operation
from queueops.switching import PAUSED, RESUMED, Order
from tests.browser.bodies import comment, message
from tests.people import api_key, make_groups
from tests.product.stack import Stack

LOCKED_OUT = "noor.example"
UNANSWERED, WAITING = "790", "791"
MOST_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Place:
    """A page: its address, or the page before it, what is typed there (by selector), and the button that leads on."""

    address: str
    press: str = ""
    typed: dict[str, str] = field(default_factory=dict)

    def open(self, page: Page) -> None:
        page.goto(self.address)
        for selector, text in self.typed.items():
            page.locator(selector).press_sequentially(text)  # also what is chosen from a list
        if self.press:
            with page.expect_navigation():
                page.get_by_role("button", name=self.press, exact=True).click()


@contextlib.contextmanager
def happenings(stack: Stack) -> Iterator[None]:
    """What the pages show: messages that failed, one that may have been sent, a lane on hold and what waits in it."""
    stack.fault(fault="expired_token", times=1)
    stack.post(message("link " + "x" * 300, "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE" * 5))
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == 1)
    stack.post(comment("no keyword here", UNANSWERED))
    stack.post(b'{"object": "page"}')
    stack.settle()
    _unconfirmed(Event.objects.get(source_id=UNANSWERED))
    user, _ = User.objects.get_or_create(username="tom.example", is_superuser=True)
    by = By(user, CONSOLE, "Too much at once")
    switching.carry_out(Order(PAUSED, Lane.LOW), by, 3600)
    try:
        stack.post(comment("link", WAITING))
        api_key(user)
        make_groups()
        _orders()
        _alerts()
        yield
    finally:
        switching.carry_out(Order(RESUMED, Lane.LOW), by)
        AccessAttempt.objects.all().delete()


def everything(stack: Stack) -> dict[str, Place]:
    """The pages of somebody who may do everything, by name."""
    pages = {**_queue(), **_history(), **_set_up(), **_access()}
    return {name: Place(f"{stack.web}{place.address}", place.press, place.typed) for name, place in pages.items()}


def before_the_log_in(stack: Stack) -> dict[str, Place]:
    """What a stranger gets to see."""
    address = f"{stack.web}{reverse('admin:login')}"
    wrong = {"#id_username": LOCKED_OUT, "#id_password": "a guess"}
    AccessAttempt.objects.update_or_create(
        username="mallory.example", ip_address="127.0.0.1", defaults={"failures_since_start": MOST_FAILURES}
    )
    return {
        "log-in": Place(address),
        "log-in refused": Place(address, "Log in", wrong),
        "locked out": Place(address, "Log in", {**wrong, "#id_username": "mallory.example"}),
    }


def _queue() -> dict[str, Place]:
    letter, cause, alert = DeadLetter.objects.get(), Cause.objects.get(), Alert.objects.order_by("pk").first()
    operations = {operation.state: operation for operation in Operation.objects.all()}
    kept = next(iter(console.context(User.objects.first())["kept"]))
    plan = reverse("admin:queueops_operation_plan", args=["retry"])
    return {
        "overview": _page("index"),
        "overview of 7 days": Place(reverse("admin:queueops_console_changelist") + "?span=7d"),
        "unusable body": _page("queueops_console_kept", kept.id),
        **{f"switch {subject} {to}": _page("queueops_console_switch", subject, to) for subject, to in SWITCHES},
        "alerts": _page("queueops_alert_changelist"),
        "alert": _page("queueops_alert_change", alert.pk),
        "dead letters": _page("queueops_deadletter_changelist"),
        "dead letter": _page("queueops_deadletter_change", letter.pk),
        "edit and retry": _page("queueops_deadletter_edit", letter.pk),
        "dead letters, none found": Place(reverse("admin:queueops_deadletter_changelist") + "?q=nothing"),
        "causes": _page("queueops_cause_changelist"),
        "cause": _page("queueops_cause_change", cause.pk),
        "plan of a bulk retry": Place(f"{plan}?fingerprint={cause.pk}"),
        "operations": _page("queueops_operation_changelist"),
        **{f"operation {state}": _page("queueops_operation_change", one.pk) for state, one in operations.items()},
    }


def _history() -> dict[str, Place]:
    dead, unanswered = Event.objects.get(outcome="dead"), Event.objects.get(source_id=UNANSWERED)
    why = reverse("admin:automations_event_why")
    unconfirmed = Delivery.objects.get(status=Delivery.Status.UNCONFIRMED)
    return {
        "why": Place(why),
        "why, found": Place(f"{why}?q={dead.account}"),
        "why, nothing found": Place(f"{why}?q=nobody.example"),
        "why, waiting": _page("automations_event_trace", WAITING),
        "events": _page("automations_event_changelist"),
        "event given up": _page("automations_event_change", dead.pk),
        "event without an answer": _page("automations_event_change", unanswered.pk),
        "what could be answered": _page("automations_event_replay"),
        "deliveries": _page("automations_delivery_changelist"),
        "delivery": _page("automations_delivery_change", dead.deliveries.get().pk),
        "delivery to decide": _page("automations_delivery_change", unconfirmed.pk),
        "decision": _page("automations_delivery_mark_sent", unconfirmed.pk),
        "contacts": _page("automations_contact_changelist"),
        "contact": _page("automations_contact_change", Contact.objects.first().pk),
        "conversations": _page("automations_conversation_changelist"),
        "conversation": _page("automations_conversation_change", Conversation.objects.first().pk),
    }


def _set_up() -> dict[str, Place]:
    automation, account = Automation.objects.get(name="Offer", account__username="demo.shop"), Account.objects.first()
    its_page = reverse("admin:automations_automation_change", args=[automation.pk])
    return {
        "automations": _page("automations_automation_changelist"),
        "automation": Place(its_page),
        "automation with faults": Place(f"{reverse('admin:automations_automation_add')}", "Save"),
        "text tried": Place(its_page, "Try", {"#id_try-text": "link"}),
        "back-test": Place(its_page, "Back-test"),
        "automation's history": _page("automations_automation_history", automation.pk),
        "automation to delete": _page("automations_automation_delete", automation.pk),
        "accounts": _page("automations_account_changelist"),
        "account": _page("automations_account_change", account.pk),
        "account added": _page("automations_account_add"),
        "workspaces": _page("automations_workspace_changelist"),
        "workspace": _page("automations_workspace_change", Workspace.objects.first().pk),
    }


def _access() -> dict[str, Place]:
    user, token = User.objects.order_by("pk").first(), ApiToken.objects.order_by("pk").first()
    made = {"#id_name": "monitor", "#id_user": user.username, "#id_reason": "Asked for"}
    return {
        "users": _page("auth_user_changelist"),
        "user": _page("auth_user_change", user.pk),
        "user added": _page("auth_user_add"),
        "user's password": Place(reverse("admin:auth_user_password_change", args=[user.pk])),
        "groups": _page("auth_group_changelist"),
        "group": _page("auth_group_change", Group.objects.order_by("pk").first().pk),
        "API tokens": _page("queueops_apitoken_changelist"),
        "API token": _page("queueops_apitoken_change", token.pk),
        "API token made": Place(reverse("admin:queueops_apitoken_add"), "Save", made),
        "audit log": _page("queueops_auditentry_changelist"),
        "audit entry": _page("queueops_auditentry_change", AuditEntry.objects.first().pk),
        "own password": _page("password_change"),
        "API's documentation": Place(reverse("docs")),
    }


def _page(name: str, *args: Any) -> Place:
    return Place(reverse(f"admin:{name}", args=args))


SWITCHES = [("low", PAUSED), ("low", RESUMED), ("mode", "direct")]


def _unconfirmed(event: Event) -> None:
    Delivery.objects.create(
        event=event,
        automation=Automation.objects.filter(account__instagram_id=event.account).first(),
        step=0,
        kind=Delivery.Kind.PRIVATE_REPLY,
        recipient=UNANSWERED,
        body={"message": {"text": "Here you go"}},
        status=Delivery.Status.UNCONFIRMED,
    )


def _orders() -> None:
    """One operation of each kind that stands still; letters of none of them are left."""
    for state in (Operation.State.ASKED, Operation.State.HALTED, Operation.State.DONE):
        Operation.objects.create(
            what=Operation.What.DISCARD if state == Operation.State.ASKED else Operation.What.RETRY,
            selection={"lane": ["high"]},
            reason="Spam",
            asked_by_name="tom.example",
            through=CONSOLE,
            needs_consent=state == Operation.State.ASKED,
            state=state,
            canary=5,
            total=40,
            done=5,
            left_out={"their window has closed: nothing would be sent": 2},
            halted_because="1 of the first 5 died again" if state == Operation.State.HALTED else "",
        )


def _alerts() -> None:
    now = timezone.now()
    for severity in Alert.Severity:
        Alert.objects.create(
            name="dead_rate",
            subject=f"of {severity}",
            severity=severity,
            words="12 % of the events of the last five minutes were given up.",
            first_seen_at=now - timedelta(minutes=9),
            last_seen_at=now,
            opened_at=now,
        )
