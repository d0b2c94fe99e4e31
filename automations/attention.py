"""The accounts that somebody has to look after, and what accounts' events wait for, for the overview.

Both from one bounded look at the newest events that are put off: their reasons say it (`automations.turns`,
`automations.pacing`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from automations import access, app_pause
from automations.models import Account, Event
from queueops import panels
from queueops.panels import Cell, Panel
from queueops.templatetags.queue_console import number

SHOWN = 20
LOOKED_AT = 1000
# What is of one event only: whose turn is when.
TURN = re.compile(r"; its turn is at .*$|\. Until .*$")


def _put_off() -> list[tuple[str, str, str]]:
    """Account, lane and reason of the newest events that are put off, LOOKED_AT at most."""
    waiting = Event.objects.filter(outcome=Event.Outcome.RETRYING).order_by("-pk")
    return list(waiting.values_list("account", "lane", "reason")[:LOOKED_AT])


@panels.explain
def why_put_off(user: Any) -> Mapping[str, str]:
    """For each lane what most of its events wait for."""
    if until := app_pause.paused_until():
        return dict.fromkeys(
            ("high", "default", "low"),
            f"Meta lets the whole app make no calls until {until:%Y-%m-%d %H:%M:%S} UTC: more workers cannot help.",
        )
    looked = _put_off()
    by_lane: dict[str, Counter[tuple[str, str]]] = {}
    for account, lane, reason in looked:
        by_lane.setdefault(lane, Counter())[account, TURN.sub("", reason)] += 1
    names = _names({most[0] for counts in by_lane.values() for most, _ in counts.most_common(1)}, user)
    return {lane: _sentence(counts, names) for lane, counts in by_lane.items()}


def _sentence(counts: Counter[tuple[str, str]], names: Mapping[str, str]) -> str:
    (account, reason), n = counts.most_common(1)[0]
    of = f"{number(n)} of the newest {number(counts.total())}"
    return f"Put off for {names.get(account, account)} ({of}): {reason or 'no reason is known'}"


def _names(ids: set[str], user: Any) -> dict[str, str]:
    accounts = Account.objects.defer("token").filter(instagram_id__in=ids)
    names = {account.instagram_id: str(account) for account in accounts}
    return names | dict.fromkeys(access.hidden_tenants(user), "an account that you may not see")


@panels.show
def accounts_that_need_someone(user: Any) -> Panel | None:
    """Those that are paused, need their owner or are throttled by Meta, the worst first."""
    if not user.has_perm("automations.view_account"):
        return None
    now = timezone.now()
    held = Account.objects.filter(~Q(status=Account.Status.ACTIVE) | Q(paused_until__gt=now))
    # "needs_owner" comes before "paused".
    found = access.visible(held.defer("token").order_by("status", "username"), user, "pk")
    accounts = sorted(found[: SHOWN + 1], key=lambda one: one.status == Account.Status.ACTIVE)
    looked = _put_off() if accounts else []
    waiting = Counter(account for account, _, _ in looked)
    more = "+" if len(looked) == LOOKED_AT else ""
    rows = [_row(account, waiting, more, now) for account in accounts[:SHOWN]]
    note = f"The first {SHOWN}; the list of accounts has the rest." if len(accounts) > SHOWN else ""
    columns = ["Account", "State", "Until", "Events put off", "Why"]
    return Panel("Accounts that need someone", columns, rows, note, "No account does.")


def _row(account: Account, waiting: Mapping[str, int], more: str, now: datetime) -> list[Cell]:
    throttled = account.paused_until is not None and account.paused_until > now
    n = waiting.get(account.instagram_id, 0)
    events = f"{reverse('admin:automations_event_changelist')}?q={account.instagram_id}"
    return [
        Cell(str(account), reverse("admin:automations_account_change", args=[account.pk])),
        _state(account),
        Cell(f"{account.paused_until:%Y-%m-%d %H:%M} UTC" if throttled else "somebody acts"),
        Cell(f"{number(n)}{more}", events if n else ""),
        Cell(account.status_reason or "-"),
    ]


def _state(account: Account) -> Cell:
    if account.status == Account.Status.ACTIVE:
        return Cell("waits", look="warn")
    return Cell(
        account.get_status_display().lower(), look="bad" if account.status == Account.Status.NEEDS_OWNER else "warn"
    )
