"""What an operator asks the console's lists, each as an address; and those that take a row's own key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from automations.models import Contact, Delivery, Event
from bench.console_rows import CAUSES as FAULTS
from bench.console_rows import DAYS
from queueops import history_charts
from queueops.models import AuditEntry, DeadLetter, Operation

EVENTS, DELIVERIES = "/admin/automations/event/", "/admin/automations/delivery/"
CONTACTS, CONVERSATIONS = "/admin/automations/contact/", "/admin/automations/conversation/"
LETTERS, AUDIT, API = "/admin/queueops/deadletter/", "/admin/queueops/auditentry/", "/api/dead-letters"
OVERVIEW, CAUSES, PLAN = "/admin/queueops/console/", "/admin/queueops/cause/", "/admin/queueops/operation/plan"

BUSY, QUIET = "17841400000000000", "17841400000000007"
# Every list: as it opens, further on, as far as it counts, by a filter, by filters together, sorted, searched.
FILTERS: Mapping[str, tuple[dict[str, str], ...]] = {
    EVENTS: (
        {"outcome__in": "dead"},
        {"outcome__in": "unconfirmed"},
        {"outcome__in": "sent"},
        {"outcome__in": "waiting"},
        {"kind__in": "live_comment"},
        {"lane": "low"},
        {"account": BUSY},
        {"account": QUIET},
        {"account": BUSY, "outcome__in": "dead"},
        {"account": QUIET, "kind__in": "live_comment"},
        {"kind__in": "live_comment", "lane": "high"},
    ),
    DELIVERIES: (
        {"status__in": "failed"},
        {"status__in": "unconfirmed"},
        {"status__in": "sending"},
        {"kind__in": "private_reply"},
        {"kind__in": "public_reply"},
        {"kind__in": "dm", "status__in": "failed"},
    ),
    CONTACTS: (),
    CONVERSATIONS: (),
    LETTERS: (
        {"status__in": "dead"},
        {"status__in": "discarded"},
        {"lane__in": "low"},
        {"kind": "live_comment"},
        {"account": BUSY},
        {"account": QUIET},
        {"cause_code": "190"},
        {"cause_code": "551"},
        {"cause_code": "12345"},
        {"cause_title": "ValueError"},
        {"cause_verdict": "bug"},
        {"attempts_from": "9"},
        {"attempts_from": "3", "attempts_to": "3"},
        {"account": BUSY, "cause_code": "551"},
        {"status__in": "dead", "cause_code": "551", "kind": "message"},
        {"status__in": "dead", "cause_verdict": "needs_owner", "lane__in": "high"},
    ),
    AUDIT: ({"action": "retry"}, {"who": "person3"}, {"kind": "queueops.deadletter"}, {"action": "discard"}),
    API: (
        {"status": "dead"},
        {"lane": "low"},
        {"kind": "live_comment"},
        {"account": QUIET},
        {"cause": "551"},
        {"cause": "needs_owner"},
        {"cause": "Meta limits"},
        {"status": "dead", "account": BUSY, "cause": "551"},
        {"q": "comment777"},
        {"q": QUIET},
        {"q": "zebra"},
        {"q": "fbtrace"},
        {"q": "nowhere"},
    ),
}
TIMES = {EVENTS: "received_at", DELIVERIES: "created_at", LETTERS: "created_at", AUDIT: "at"}
# The place of the column; the boxes to tick are one, too, where there are any.
SORTED_BY = {EVENTS: 0, DELIVERIES: 0, CONTACTS: 3, CONVERSATIONS: 2, LETTERS: 1, AUDIT: 0}
SEARCHES = {
    EVENTS: ("comment777", BUSY, QUIET, "8400000000000777", "zebra", "link", "nowhere"),
    DELIVERIES: ("comment777", "8400000000000777", "mid777", "nowhere"),
    CONTACTS: ("8400000000000777", "person777", "nowhere"),
    CONVERSATIONS: ("8400000000000777", "person777", "nowhere"),
    LETTERS: ("comment777", BUSY, QUIET, "8400000000000777", "zebra", "fbtrace", "Meta limits", "link", "nowhere"),
    AUDIT: ("person3", "comment777", "reason", "nowhere"),
}


def addresses() -> list[str]:
    """All of them; the tables must be full."""
    last_page = min(200, AuditEntry.objects.count() // 50)  # the shortest of the lists
    found = ["/admin/", *(f"{OVERVIEW}?span={span}" for span in history_charts.SPANS), *_of_causes(), *_rows()]
    for page, filters in FILTERS.items():
        asked = [{}, *filters, *({"q": text} for text in SEARCHES.get(page, ()))]
        if page in SORTED_BY:
            asked += [{"p": "2"}, {"p": str(last_page)}, {"o": str(SORTED_BY[page])}, {"o": f"-{SORTED_BY[page]}"}]
        asked += _periods(TIMES[page]) if page in TIMES else []
        found += [f"{page}?{urlencode(one)}" if one else page for one in asked]
    middle = DeadLetter.objects.order_by("-id").values_list("id", flat=True)[DeadLetter.objects.count() // 2]
    return [*found, f"{LETTERS}?before={middle}", f"{LETTERS}?before={middle}&cause_code=551&status__in=dead"]


def _periods(name: str) -> list[dict[str, str]]:
    now = datetime.now(UTC)
    since, until = (now - timedelta(days=days) for days in (DAYS * 0.7, DAYS * 0.6))
    between = {f"{name}_from_0": f"{since:%Y-%m-%d}", f"{name}_to_0": f"{until:%Y-%m-%d}"}
    return [{f"{name}_from_0": f"{now - timedelta(days=1):%Y-%m-%d}"}, between]


def _of_causes() -> list[str]:
    """All causes, each one, and what an order over many letters says before it is given."""
    often, seldom = f"fingerprint={0:032x}", f"fingerprint={len(FAULTS) - 1:032x}"
    chosen = (
        "",
        often,
        seldom,
        f"account={BUSY}",
        f"account={QUIET}&verdict=bug",
        "lane=default",
        "q=zebra",
        "q=nowhere",
    )
    plans = [f"{PLAN}/{what}/?{which}" for what in Operation.What for which in chosen]
    pages = [f"{CAUSES}{n:032x}/change/" for n in range(len(FAULTS))]
    return [CAUSES, f"{CAUSES}?state=resolved", *pages, "/admin/queueops/operation/", *plans]


def _rows() -> list[str]:
    """A page of each kind of row, and the API's trace of an event."""
    pages = {EVENTS: Event, DELIVERIES: Delivery, CONTACTS: Contact, LETTERS: DeadLetter, AUDIT: AuditEntry}
    rows = [f"{page}{model._default_manager.order_by('pk')[:1].get().pk}/change/" for page, model in pages.items()]
    return [*rows, f"/api/events/{Event.objects.order_by('pk')[:1].get().key}"]
