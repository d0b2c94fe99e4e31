"""What happened, in the console: every decision on one page, nothing to change."""

from __future__ import annotations

import pytest

from queueops.readonly import CappedPaginator
from tests.automations.rows import ACCOUNT, account, automation, conversation, delivery, event
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

EVENTS, DELIVERIES = "/admin/automations/event/", "/admin/automations/delivery/"
LOOKS = [
    {
        "automation": "a1",
        "name": "Link rule",
        "matched": False,
        "failed": {"condition": "keyword", "expected": ["link", "price"], "seen": "nice <b>pic</b>"},
    },
    {
        "automation": "a2",
        "name": "Post rule",
        "matched": False,
        "failed": {"condition": "post", "expected": "1790", "seen": "1791"},
    },
    {"automation": "a3", "name": "Any rule", "matched": True, "failed": None},
]


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


def listed(client, address):
    answer = client.get(address)
    assert answer.status_code == 200
    return [row.key for row in answer.context["cl"].result_list]


def test_the_page_of_an_event_shows_the_whole_decision(admin):
    rule = automation(account())
    row = event(outcome="sent", reason="as planned", automation=rule, rules=LOOKS)
    row.attempts = [{"at": "2026-01-01T10:00:00+00:00", "attempt": 1, "result": "Meta is away", "retry_at": None}]
    row.save()
    delivery(row, status="sent", message_id="mid_1")
    delivery(row, step=2, status="failed", error={"title": "Comment deleted", "message": "gone"})

    text = admin.get(f"{EVENTS}{row.pk}/change/").content.decode()

    for shown in (
        *("as planned", "Link rule", "link, price", "nice &lt;b&gt;pic&lt;/b&gt;", "1790", "1791", "Any rule"),
        *("mid_1", "Comment deleted: gone", "Meta is away", f"/admin/automations/automation/{rule.pk}/change/"),
    ):
        assert shown in text
    assert "<b>pic" not in text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["k3", "k2", "k1"]),
        ("?q=k2", ["k2"]),
        ("?q=c_k1", ["k1"]),
        ("?q=8422491661125971", ["k3", "k2", "k1"]),
        (f"?q={ACCOUNT}", ["k3", "k1"]),
        ("?q=c_k", []),  # ids only whole: parts would read the whole table
        ("?outcome__exact=dead", ["k2"]),
        ("?kind__exact=message", ["k3"]),
        ("?lane=high", ["k3"]),
        ("?received_at_from_0=2020-01-01&received_at_to_0=2020-12-31", []),
        (f"?account={ACCOUNT}", ["k3", "k1"]),
        ("?q=pic", ["k3", "k2", "k1"]),
        ('?q="nice pic"', []),
        ("?o=0", ["k1", "k2", "k3"]),
    ],
)
def test_events_are_found_by_filters_and_whole_ids(admin, query, found):
    event("k1")
    event("k2", outcome="dead", account="1")
    event("k3", kind="message", lane="high")

    assert listed(admin, EVENTS + query) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        *(("?q=mid_2", [2]), ("?q=c_k1", [2, 1]), ("?q=k1", [2, 1]), ("?q=8422491661125971", [2, 1]), ("?q=mid", [])),
        *(("?status__in=sent", [1]), ("?o=0", [1, 2]), ("?created_at_to_0=2020-12-31", [])),
    ],
)
def test_deliveries_are_found_by_filters_and_whole_ids(admin, query, found):
    row = event("k1")
    delivery(row, status="sent", message_id="mid_1")
    delivery(row, step=2, message_id="mid_2")

    answer = admin.get(DELIVERIES + query)

    assert [one.step for one in answer.context["cl"].result_list] == found


def test_what_people_wrote_finds_no_event_for_those_who_may_not_see_it(client):
    event("k1", text="private words")
    client.force_login(person("automations.view_event"))

    assert listed(client, f"{EVENTS}?q=private") == []


@pytest.mark.parametrize("query", ["?q=8422", "?q=maria.example"])
def test_a_person_is_found_by_id_and_name(admin, query):
    thread = conversation(account(), "8422")
    type(thread.contact).objects.update(username="maria.example")

    for model in ("contact", "conversation"):
        answer = admin.get(f"/admin/automations/{model}/{query}")
        assert [one.pk for one in answer.context["cl"].result_list] == [thread.pk]


def test_nothing_can_be_added_changed_or_deleted(admin):
    row = event()
    thread = conversation(account(), "1")
    rows = {"event": row, "delivery": delivery(row), "contact": thread.contact, "conversation": thread}

    for model, one in rows.items():
        address = f"/admin/automations/{model}/"
        assert admin.get(address).status_code == 200
        assert admin.get(f"{address}{one.pk}/change/").status_code == 200
        assert admin.get(f"{address}add/").status_code == 403
        assert admin.post(f"{address}{one.pk}/change/", {}).status_code == 403
        assert admin.post(f"{address}{one.pk}/delete/", {"post": "yes"}).status_code == 403


def test_the_lists_take_the_same_few_queries_however_long_they_are(admin, django_assert_max_num_queries):
    rule = automation(account())
    for n in range(40):
        delivery(event(f"k{n}", automation=rule), automation=rule)
        conversation(rule.account, str(n))
    for model in ("event", "delivery", "contact", "conversation"):
        with django_assert_max_num_queries(8):
            admin.get(f"/admin/automations/{model}/")


def test_counting_stops_where_nobody_counts_any_more(admin, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "most", 3)
    for n in range(5):
        event(f"k{n}")

    answer = admin.get(EVENTS)

    assert answer.context["cl"].result_count == 3
    assert "The newest\n    3 events" in answer.content.decode()


@pytest.mark.parametrize("key", ["k1", "c_k1"])
def test_an_event_is_opened_by_any_of_its_ids(admin, key):
    row = event("k1")

    answer = admin.get(f"/trace/{key}", follow=True)

    assert answer.redirect_chain[-1][0] == f"{EVENTS}{row.pk}/change/"


def test_of_an_event_that_nobody_knows_is_said_where_it_was_looked_for(admin):
    text = admin.get("/trace/nobody", follow=True).content.decode()

    assert "Nothing is written about event nobody" in text
    assert "Waiting in lanes" in text


def test_staff_without_the_permission_see_none_of_it(client):
    row = event("k1", text="private words")
    client.force_login(person())

    for address in (EVENTS, DELIVERIES, f"{EVENTS}{row.pk}/change/"):
        assert client.get(address).status_code == 403
    assert "private words" not in client.get("/trace/k1", follow=True).content.decode()
