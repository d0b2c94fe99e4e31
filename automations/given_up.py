"""What dead letters are told about the events that were given up: whose rule it was, and until when accounts wait."""

from __future__ import annotations

from django.utils import timezone

from automations import app_pause
from automations.models import Account, Event
from queueops.jobs import Waits

# More are not paused at a time but by the app's own pause.
MOST_ACCOUNTS = 1000


def automation_of(key: str) -> tuple[str, str] | None:
    """(id, name) of the automation that was answering the event; None before one was chosen, or when it is gone."""
    chosen = Event.objects.filter(key=key, automation__isnull=False)
    found = chosen.values_list("automation_id", "automation__name").first()
    return (str(found[0]), found[1]) if found else None


def waits() -> Waits:
    """The accounts that Meta, or an operator, made wait until a stated time, and the app as a whole."""
    now = timezone.now()
    paused = Account.objects.filter(paused_until__gt=now).order_by("-paused_until")
    ends = dict(paused.values_list("instagram_id", "paused_until")[:MOST_ACCOUNTS])
    by_account = {account: end for account, end in ends.items() if end is not None}
    return Waits(asked_at=now, everybody=app_pause.paused_until(), by_account=by_account)
