"""What may be wrong with an account, for `queueops.alerts`."""

from __future__ import annotations

from collections.abc import Sequence

from automations import silence
from automations.models import Account
from queueops.alerts import MOST_FOUND, Condition, Found, Look, register
from queueops.models import Alert

# With a job waiting for so long what came may not have been looked at yet.
BEHIND_SECONDS = 300.0


def needs_owner(look: Look) -> Sequence[Found]:
    accounts = Account.objects.filter(status=Account.Status.NEEDS_OWNER).order_by("pk")
    rows = accounts.only("instagram_id", "username", "status_reason")[:MOST_FOUND]
    return [
        Found(one.instagram_id, f"Account {one} needs its owner: {one.status_reason or 'no reason given'}.")
        for one in rows
    ]


def is_silent(look: Look) -> Sequence[Found] | None:
    """Only while everything that came has been looked at; otherwise it is we who are behind."""
    if is_behind(look):
        return None
    return [
        Found(one.instagram_id, f"Nothing has come from {one.name} for {silence.HOURS} hours; usually it is busy now.")
        for one in silence.silent_accounts(look.now)
    ]


def is_behind(look: Look) -> bool:
    """Whether events may wait that are not written down yet."""
    snapshot = look.snapshot
    if not snapshot["redis"]["connected"] or snapshot["ledger"]["fallback"] != 0:
        return True
    lanes = snapshot["queues"].values()
    return any(lane["waiting"] and lane["oldest_waiting_seconds"] > BEHIND_SECONDS for lane in lanes)


register(
    Condition(
        name="needs_owner",
        title="An account needs its owner",
        severity=Alert.Severity.TICKET,
        holds_seconds=0,
        find=needs_owner,
        advice="Ask its owner to connect it again; its events wait while their windows last.",
        page="docs/operations/an-account-needs-its-owner.md",
    ),
    Condition(
        name="account_silent",
        title="A busy account is silent",
        severity=Alert.Severity.TICKET,
        holds_seconds=600,
        find=is_silent,
        advice="See whether Meta still sends its webhooks: subscription, permissions, and other accounts at this hour.",
        page="docs/operations/alerts.md",
    ),
)
