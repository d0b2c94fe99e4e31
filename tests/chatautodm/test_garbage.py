"""Whatever somebody types into a search box, a filter, an address or a form: an answer, and never a server error."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.admin import site
from django.db import transaction
from django.test import Client

from automations.models import Automation
from queueops.models import Cause, DeadLetter, Operation
from tests.automations.rows import account, automation, conversation, delivery, event
from tests.people import api_key, superuser
from tests.queueops.letters import row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

# As they stand in an address. Each is tried in every place, so they are few.
EVERY_LOOK = bool(os.environ.get("EVERY_LOOK"))
NUL, HUGE, EARLY = "a%00b", "9" * 400, "0001-01-01"
GARBAGE = (NUL, HUGE, EARLY, "%ED%A0%80")
# For what takes whole texts.
TYPED = (
    *(*GARBAGE, str(2**64), "9999999-01-01", "0000-00-00", "9999-12-31T23:59", "-1", "@%00", "%25_%25", "a%5C"),
    *(
        "//%5B::1/p/",
        "https://instagram.com/p/%5B/c/1",
        "a%0D%0AX:b",
        "x" * 10_000,
        quote("🎉"),
        "cD0wMDAw",
        "cD0lMDA%3D",
    ),
)
LISTS = {f"/admin/{model._meta.app_label}/{model._meta.model_name}/": model for model in site._registry}
EVERY_LIST = ("q", "p", "o", "before", "_changelist_filters", "_to_field")
PERIODS = ("_from_0", "_to_0")
LOOKUPS = (f"={NUL}", f"__icontains={NUL}", f"__year={HUGE}", "__range=1")
PAGES = {
    "/admin/automations/event/why/": ("q", "at", "within"),
    "/admin/queueops/console/": ("span",),
    "/admin/queueops/console/body/": ("span",),
    "/admin/queueops/operation/plan/retry/": ("kind", "since", "until", "attempts_from", "code", "q", "include", "no"),
    "/admin/queueops/operation/plan/discard/": ("account", "fingerprint", "verdict", "lane"),
    "/admin/queueops/deadletter/": ("status__exact", "created_at_from_0", "created_at_to_1"),
    "/admin/search/": ("s",),
    "/admin/autocomplete/": ("term", "app_label", "model_name", "field_name", "page"),
    "/api/queue-stats": ("x",),
    "/api/dead-letters": ("lane", "account", "cause", "q", "since", "status", "cursor", "limit"),
    "/api/schema": ("format", "lang"),
}
PLACES = (
    *(f"{listing}{{}}/{page}" for listing in LISTS for page in ("change/", "history/", "delete/", "")),
    *("/admin/automations/event/by-key/{}/", "/trace/{}", "/api/events/{}", "/api/{}", "/admin/{}/", "/{}"),
    *(f"/admin/queueops/deadletter/{{}}/{page}/" for page in ("edit", "retry", "discard")),
    *("/admin/queueops/operation/plan/{}/", "/admin/queueops/console/kept/{}/", "/admin/queueops/cause/{}/resolve/"),
    *("/admin/queueops/auditentry/export/{}/", "/admin/django_rq/dashboard/queues/{}/", "/admin/r/{}/1/"),
    *("/admin/django_rq/dashboard/queues/0/{}/", "/admin/django_rq/dashboard/workers/0/{}/", "/admin/r/1/{}/"),
)


REASON = {"reason": "because"}


@pytest.fixture
def console(redis) -> Client:
    """A superuser, who is stopped by nothing else; and something to be found everywhere."""
    shop = account()
    automation(shop)
    delivery(event("k1"))
    conversation(shop, "8422491661125971")
    row("k1")
    Cause.objects.create(pk="c1", title="An error")
    Operation.objects.create(what="retry", state="halted", halted_because="They died again.")
    client = Client(headers={"Authorization": f"Token {api_key(superuser('monitor'))}"})
    client.force_login(superuser())
    client.raise_request_exception = False
    return client


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def failing(client: Client, addresses: Iterable[str], form: dict[str, Any] | None = None) -> list[tuple[str, Any]]:
    """The addresses that end in a server error, each with it. Of those a tenth is asked; with EVERY_LOOK=1 each."""
    found = []
    for address in (one for one in addresses if EVERY_LOOK or random.random() < 1 / 10):
        savepoint = transaction.savepoint()  # an error of the database would end the test's own transaction
        answer: Any = client.get(address) if form is None else client.post(address, form)
        transaction.savepoint_rollback(savepoint)
        if answer.status_code >= 500:
            found.append((address[:200], answer.exc_info and answer.exc_info[1]))
    return found


@pytest.mark.parametrize("listing", LISTS)
def test_a_list_answers_whatever_it_is_searched_and_filtered_by(console, listing):
    model = LISTS[listing]
    columns = [field.name for field in model._meta.fields]
    periods = [field.name for field in model._meta.fields if field.get_internal_type() == "DateTimeField"]

    names = [*EVERY_LIST, *(column + end for column in periods for end in PERIODS)]
    asked = [f"{listing}?{name}={value}" for name in names for value in GARBAGE]
    asked += [f"{listing}?{column}{how}" for column in columns for how in LOOKUPS]

    assert failing(console, asked) == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_answers_whatever_it_is_asked(console, page):
    assert failing(console, (f"{page}?{name}={value}" for name in PAGES[page] for value in TYPED)) == []


def test_an_address_answers_whatever_stands_in_it(console):
    assert failing(console, (place.format(value) for place in PLACES for value in GARBAGE)) == []


def test_a_form_answers_whatever_is_sent(console):
    rule, letter = Automation.objects.get(), DeadLetter.objects.get()
    rules, letters = "/admin/automations/automation", f"/admin/queueops/deadletter/{letter.pk}"
    places = (
        *(f"{rules}/{rule.pk}/try/", f"{rules}/{rule.pk}/change/", f"{rules}/backtest/", f"{rules}/add/"),
        *(f"{letters}/{act}/" for act in ("edit", "retry", "discard")),
        *(f"/admin/queueops/operation/plan/{what}/?kind=message" for what in ("retry", "discard")),
        *("/admin/queueops/cause/c1/resolve/", "/admin/queueops/console/switch/high/paused/", "/admin/auth/user/add/"),
        *("/admin/queueops/apitoken/add/", "/admin/queueops/deadletter/", "/admin/automations/account/"),
    )
    names = (
        *("reason", "args", "canary", "pace", "until", "minutes", "action", "_selected_action", "confirm", "post"),
        *("try-text", "try-kind", "try-post", "days", "draft_of", "name", "trigger", "match", "keywords", "actions"),
        *("priority", "media_id", "account", "username", "password1", "user", "scope", "expires_at_0", "expires_at_1"),
    )
    wrong = ("a\0b", HUGE, "9999999-01-01", "0001-01-01", "[" * 3000, '[{"type": "dm", "text": "\\ud800\\u0000"}]')
    forms = [dict.fromkeys(names, value) | more for value in wrong for more in ({}, {"trigger": "dm", **REASON})]

    assert [found for form in forms for found in failing(console, places, form)] == []
