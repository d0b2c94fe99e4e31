"""Each permission opens what it names, and nothing opens without it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User

from automations.models import Account, Automation, Event
from queueops import dispatch, taking
from queueops.jobs import Batch
from queueops.models import AuditEntry, DeadLetter
from queueops.privacy import HIDDEN
from tests.automations.rows import account, automation, delivery, event
from tests.people import person
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST = "/admin/queueops/deadletter/"
JSON = "application/json"
WROTE = "what a person wrote"


def everybody_but(permission: str, name: str = "tom") -> User:
    """Somebody who may do everything else."""
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.exclude(codename=permission.split(".")[1]))
    return user


def retry_on_page(client, letter):
    return client.post(f"{LIST}{letter.pk}/retry/")


def retry_by_api(client, letter):
    return client.post(f"/api/dead-letters/{letter.pk}/retry")


def retry_many_from_list(client, letter):
    return client.post(LIST, {"action": "retry_selected", "_selected_action": [letter.pk]})


def retry_many_by_api(client, letter):
    return client.post("/api/dead-letters/retry", content_type=JSON)


def discard_on_page(client, letter):
    return client.post(f"{LIST}{letter.pk}/discard/")


def discard_many_from_list(client, letter):
    return client.post(LIST, {"action": "discard_selected", "_selected_action": [letter.pk]})


RETRY, BULK, DISCARD = (f"queueops.{verb}_deadletter" for verb in ("retry", "bulk_retry", "discard"))
ACTIONS = [
    (RETRY, retry_on_page),
    (RETRY, retry_by_api),
    (BULK, retry_many_from_list),
    (BULK, retry_many_by_api),
    (DISCARD, discard_on_page),
    (DISCARD, discard_many_from_list),
]


@pytest.mark.parametrize(("permission", "act"), ACTIONS)
def test_an_action_takes_its_permission_and_no_other_will_do(client, permission, act):
    letter = dead("e1")
    client.force_login(everybody_but(permission))

    act(client, letter)

    assert DeadLetter.objects.get().status == "dead"


@pytest.mark.parametrize(("permission", "act"), ACTIONS)
def test_with_its_permission_alone_the_action_is_done(client, permission, act):
    letter = dead("e1")
    client.force_login(person("queueops.view_deadletter", permission))

    act(client, letter)

    assert DeadLetter.objects.get().status != "dead"


SET_UP = [
    ("automations.delete_account", "account", "delete", Account),
    ("automations.delete_automation", "automation", "delete", Automation),
]


@pytest.mark.parametrize(("permission", "page", "verb", "table"), SET_UP)
def test_managing_takes_its_permission(client, permission, page, verb, table):
    shop = account()
    rows = {"account": shop, "automation": automation(shop)}
    address = f"/admin/automations/{page}/{rows[page].pk}/{verb}/"
    client.force_login(everybody_but(permission))
    assert client.post(address, {"post": "yes"}).status_code == 403
    assert table.objects.exists()


@pytest.mark.parametrize("verb", ["add", "change"])
@pytest.mark.parametrize("model", ["workspace", "account", "automation"])
def test_setting_up_takes_its_permission(client, model, verb):
    shop = account()
    row = {"workspace": shop.workspace, "account": shop, "automation": automation(shop)}[model]
    before = type(row)._default_manager.values().get()
    path = "add" if verb == "add" else f"{row.pk}/change"
    client.force_login(everybody_but(f"automations.{verb}_{model}"))

    assert client.post(f"/admin/automations/{model}/{path}/", {"name": "x", "username": "x"}).status_code == 403
    assert type(row)._default_manager.values().get() == before


def texts():
    """Something that somebody wrote, wherever it is kept, and the pages that show it."""
    row = event("e1", text=WROTE, payload={"text": WROTE}, rules=[look("keyword"), look("something new")])
    sent = delivery(row, body={"message": {"text": WROTE}})
    letter = dead("e1")
    letter.payload = {"args": [{"text": WROTE}, {}]}
    letter.save()
    return [
        "/admin/automations/event/",
        f"/admin/automations/event/{row.pk}/change/",
        f"/admin/automations/delivery/{sent.pk}/change/",
        f"{LIST}{letter.pk}/change/",
        "/api/events/e1",
    ]


def look(condition: str, seen: str = WROTE) -> dict[str, Any]:
    failed = {"condition": condition, "expected": ["link"], "seen": seen}
    return {"automation": "", "name": "rule", "matched": False, "failed": failed}


def test_what_people_wrote_is_seen_with_the_permission(client):
    pages = texts()
    client.force_login(everybody_but("queueops.nothing"))

    for page in pages:
        assert WROTE in client.get(page).content.decode(), page


def test_what_people_wrote_is_masked_without_it_and_the_mask_says_why(client):
    pages = texts()
    client.force_login(everybody_but("queueops.see_text"))

    for page in pages:
        text = client.get(page).content.decode()
        assert WROTE not in text, page
        assert "hidden: it takes the permission" in text, page


def test_ids_and_our_own_payloads_in_a_trace_are_no_secret(client):
    event("e1", rules=[look("post", "1790"), look("payload", "FLOW_42"), look("keyword", "")])
    client.force_login(everybody_but("queueops.see_text"))

    seen = [rule["failed"]["seen"] for rule in client.get("/api/events/e1").json()["rules"]]

    assert seen == ["1790", "FLOW_42", ""]


def test_a_body_that_nobody_could_use_is_masked_too(client, redis):
    dispatch.dispatch_sync(Batch(kept=(("not JSON", WROTE.encode()),)))
    ((entry_id, _),) = redis.xrange(taking.KEPT_KEY)
    address = f"/admin/queueops/console/kept/{entry_id.decode()}/"

    client.force_login(everybody_but("queueops.see_text"))
    masked = client.get(address).content.decode()
    client.force_login(everybody_but("queueops.nothing", "ann"))

    assert WROTE not in masked
    assert HIDDEN in masked
    assert WROTE in client.get(address).content.decode()


def test_rqs_pages_show_jobs_only_to_who_may_see_text(client):
    client.force_login(person("django_rq.admin"))
    assert client.get("/admin/django_rq/dashboard/").status_code == 403
    client.force_login(person("django_rq.admin", "queueops.see_text", name="ann"))
    assert client.get("/admin/django_rq/dashboard/").status_code == 200


# --- Nor is it found by them ------------------------------------------------------------------------------------------

EVENTS, DELIVERIES = "/admin/automations/event/", "/admin/automations/delivery/"


@pytest.mark.parametrize(
    "query",
    [
        f"{EVENTS}?text__contains=what",
        f"{EVENTS}?payload__text__contains=what",
        f"{EVENTS}?rules__icontains=what",
        f"{EVENTS}?reason__startswith=ValueError: what",
        f"{DELIVERIES}?body__message__text__contains=what",
        f"{DELIVERIES}?event__text__contains=what",
        f"{LIST}?payload__icontains=what",
        f"{LIST}?error__contains=what",
        f"{LIST}?traceback__contains=what",
    ],
)
def test_an_address_that_asks_for_a_text_is_refused_without_the_permission(client, query):
    texts()
    client.force_login(everybody_but("queueops.see_text"))

    assert client.get(query).status_code == 400


@pytest.mark.parametrize("query", [f"{EVENTS}?text__contains=what", f"{LIST}?error__contains=Error"])
def test_and_answered_with_it(client, query):
    texts()
    client.force_login(everybody_but("queueops.nothing"))

    assert len(client.get(query).context["cl"].result_list) == 1


def test_the_token_of_an_account_is_not_guessed_by_a_filter(client):
    account()
    client.force_login(everybody_but("queueops.nothing"))

    assert client.get("/admin/automations/account/?token__startswith=g").status_code == 400


QUOTED = f"ValueError: invalid literal: '{WROTE}'"


def quoting() -> DeadLetter:
    """A letter and an event of an error that quotes what somebody wrote."""
    attempts = [{"at": "2026-01-01T00:00:00+00:00", "attempt": 1, "result": QUOTED, "retry_at": None}]
    event("e1", outcome="dead", reason=QUOTED, attempts=attempts)
    letter = dead("e1", error=QUOTED, cause_verdict="bug", cause_title="ValueError", cause_code=0)
    letter.traceback = f"Traceback\n{QUOTED}"
    letter.save()
    return letter


def test_an_error_that_quotes_a_text_shows_its_name_only(client):
    letter = quoting()
    event_page = f"{EVENTS}{Event.objects.get().pk}/change/"
    in_full = [f"{LIST}{letter.pk}/change/", event_page, "/api/events/e1", "/api/dead-letters"]

    client.force_login(everybody_but("queueops.see_text"))
    for page in (*in_full, LIST, EVENTS, "/admin/queueops/console/", "/admin/"):
        text = client.get(page).content.decode()
        assert "ValueError" in text, page
        assert WROTE not in text, page
    client.force_login(everybody_but("queueops.nothing", "ann"))
    for page in in_full:
        assert WROTE in client.get(page).content.decode(), page


@pytest.mark.parametrize(("word", "is_found"), [("invalid", False), ("token", True)])
def test_errors_are_searched_as_far_as_they_are_shown(client, word, is_found):
    quoting()
    dead("e2")  # Meta's words: "Error validating access token"
    client.force_login(everybody_but("queueops.see_text"))

    assert bool(client.get(f"{LIST}?q={word}").context["cl"].result_list) is is_found
    assert bool(client.get(f"/api/dead-letters?q={word}").json()["results"]) is is_found
    client.force_login(everybody_but("queueops.nothing", "ann"))
    assert client.get(f"{LIST}?q={word}").context["cl"].result_list
    assert client.get(f"/api/dead-letters?q={word}").json()["results"]


def test_taking_the_log_away_is_written_into_it(client):
    client.force_login(person("queueops.view_auditentry"))

    client.get("/admin/queueops/auditentry/export/csv/?action=retry")

    entry = AuditEntry.objects.latest("number")
    assert (entry.who, entry.action) == ("maria", "export")
    assert entry.details == {"format": "csv", "filters": "action=retry"}
