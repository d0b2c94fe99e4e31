"""A draft against what came in the last days: what it gains and loses, whom it meets, and how much that would send."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from automations import backtest
from automations.events import Comment
from automations.models import Automation, Delivery, Event
from queueops.keys import first_id_of
from queueops.models import AuditEntry
from tests.automations.rows import ACCOUNT, REPLY, account, automation, delivery
from tests.automations.rows import event as row
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

ADDRESS = "/admin/automations/automation/backtest/"


@pytest.fixture
def rule():
    return automation(account())


def comment(n: int, text: str, *, by: Automation | None = None, ago: timedelta = timedelta(hours=1), **more) -> Event:
    """A stored comment, really answered by this automation or by none."""
    at = timezone.now() - ago
    said = Comment(account=ACCOUNT, person="77", source_id=f"c{n}", at_ms=None, text=text, **more)
    return row(
        said.key,
        pk=first_id_of(at).__class__(int=first_id_of(at).int + n),
        source_id=said.source_id,
        text=text,
        payload=said.as_payload(),
        automation=by,
        received_at=at,
    )


def run(draft: Automation, days: int = 1, with_text: bool = True) -> backtest.Report:
    return backtest.run(draft, days, with_text=with_text)


def test_it_tells_what_is_gained_and_what_is_lost_and_to_whom(rule):
    other = automation(rule.account, name="Price", keywords=["price", "cost"])
    comment(1, "link please", by=rule)  # stays
    comment(2, "linky", by=rule)  # really answered, by what the rule was then: nobody would now
    comment(3, "how much does it cost", by=other)  # gained from the other, which comes after
    comment(4, "Preis?")  # gained from nobody
    comment(5, "nice pic")
    rule.keywords = ["link", "cost", "Preis"]
    rule.priority = 5

    found = run(rule)

    assert (found.looked, found.matched, found.answered) == (5, 3, 2)
    assert found.gained == {"Price": 1, "no rule": 1}
    assert found.lost == {"no rule": 1}
    assert (found.outranks, found.outranked) == ({"Price": 1}, {})
    assert found.stopped == ""


def test_a_rule_that_comes_before_the_draft_is_named(rule):
    automation(rule.account, name="This post", media_id="1790")
    comment(1, "link", by=rule, media_id="1790")

    found = run(rule)

    assert (found.outranked, found.lost, found.matched) == ({"This post": 1}, {"This post": 1}, 0)


def test_what_it_would_send_is_shown_for_a_few(rule):
    for n in range(backtest.SAMPLES + 2):
        comment(n, "link", username="maria.example")
    rule.actions = [{"type": "private_reply", "text": "Hi {{username}}"}]

    found = run(rule)

    assert len(found.samples) == backtest.SAMPLES
    assert {tuple(sample.sends) for sample in found.samples} == {("Private reply: “Hi maria.example”",)}


def test_what_people_wrote_stays_hidden_from_those_who_may_not_see_it(rule):
    comment(1, "link private words")
    rule.actions = [{"type": "private_reply", "text": "You wrote {{text}}"}]

    (sample,) = run(rule, with_text=False).samples

    assert "private words" not in repr(sample)


def test_the_busiest_hour_is_held_against_the_accounts_limit(rule, settings):
    settings.PACING_PRIVATE_REPLIES_PER_HOUR = 2
    for n in range(6):
        comment(n, "link", ago=timedelta(hours=3))
    comment(10, "link", ago=timedelta(hours=1))

    (load,) = run(rule).loads

    assert (load.peak, load.is_over) == (6, True)
    assert load.longest_wait == timedelta(hours=2)


def test_what_other_rules_sent_in_that_hour_counts_against_the_limit_too(rule, settings):
    settings.PACING_PRIVATE_REPLIES_PER_HOUR = 3
    hour = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
    elsewhere = account(instagram_id="1", username="other")
    since = timezone.now() - hour - timedelta(minutes=5)
    comment(1, "link", ago=since)
    other = automation(rule.account, name="Price", keywords=["price"])
    counted = comment(2, "price", by=other)
    answers: list[tuple[Event, dict[str, Any]]] = [
        (counted, {}),
        (counted, {"step": 2, "status": "failed"}),
        (counted, {"step": 3, "status": "skipped"}),
        (counted, {"step": 4, "kind": "public_reply"}),
        (comment(3, "link", by=rule, ago=since), {"automation_key": str(rule.pk)}),
        (row("live", kind="live_comment"), {}),
        (row("of another", account=elsewhere.instagram_id), {}),
    ]
    for n, (answered, fields) in enumerate(answers):
        key = first_id_of(hour + timedelta(minutes=n))
        delivery(answered, **{"pk": key, "kind": "private_reply", "automation_key": str(other.pk), **fields})
    delivery(counted, pk=first_id_of(hour - timedelta(minutes=1)), kind="private_reply", step=5)

    (load,) = run(rule).loads

    assert (load.peak, load.others, load.is_over) == (2, 2, True)


def test_only_those_days_that_account_and_that_kind_are_looked_at(rule):
    other = account(instagram_id="1", username="other")
    comment(1, "link", ago=timedelta(days=2))
    comment(2, "link")
    row("message", kind="message", payload={"kind": "message"})
    row("of another", account=other.instagram_id, payload={"kind": "comment"})
    row("unreadable", payload={"kind": "comment", "of": "an older version"})

    assert (run(rule, 1).looked, run(rule, 7).looked) == (1, 2)


def test_the_accounts_own_comments_are_answered_by_no_rule(rule):
    comment(1, "link", username="demo.shop")

    assert run(rule).looked == 0


def test_it_stops_after_so_many_events_and_says_so(rule, monkeypatch):
    monkeypatch.setattr(backtest, "MOST_EVENTS", 3)
    for n in range(5):
        comment(n, "link", ago=timedelta(minutes=60 - n))

    found = run(rule)

    assert found.looked == 3
    assert "newest 3 events" in found.stopped


def test_it_stops_after_so_long_and_says_so(rule, monkeypatch):
    monkeypatch.setattr(backtest, "MOST_SECONDS", -1.0)
    comment(1, "link")

    found = run(rule)

    assert found.looked == 0
    assert found.stopped


def test_it_takes_five_queries_and_one_for_each_limit_however_many_events(rule, django_assert_max_num_queries):
    other = automation(rule.account, name="Other", keywords=["price"])
    for n in range(30):
        comment(n, "link", by=other)

    with django_assert_max_num_queries(6):
        run(Automation.objects.select_related("account").get(pk=rule.pk))


def form(rule: Automation | None, **changes) -> dict[str, Any]:
    fields = {
        "account": str(rule.account_id) if rule else "",
        "name": "Comment link",
        "trigger": "comment",
        "match": "contains",
        "keywords": "link",
        "actions": '[{"type": "private_reply", "text": "Here is the link"}]',
        "priority": "0",
        "is_active": "on",
        "days": "7",
    }
    return {**fields, **changes}


def untouched(rule: Automation) -> bool:
    kept = Automation.objects.get(pk=rule.pk)
    nothing_else = (Delivery.objects.count(), AuditEntry.objects.count(), Automation.objects.count()) == (0, 0, 1)
    return (kept.keywords, kept.actions) == (["link"], REPLY) and nothing_else


def test_the_draft_is_what_stands_in_the_form_and_is_not_saved(client, rule):
    client.force_login(superuser())
    comment(1, "Preis?")

    answer = client.post(ADDRESS, form(rule, draft_of=str(rule.pk), keywords="Preis"))

    report = answer.context["report"]
    assert (report.days, report.matched, report.gained) == (7, 1, {"no rule": 1})
    assert "Preis?" in answer.content.decode()
    assert untouched(rule)


def test_a_new_automation_is_tested_before_it_is_saved_for_the_first_time(client, rule):
    client.force_login(superuser())
    comment(1, "Preis?")

    report = client.post(ADDRESS, form(rule, name="New", keywords="Preis")).context["report"]

    assert report.matched == 1
    assert untouched(rule)


@pytest.mark.parametrize("changes", [{"actions": "not JSON"}, {"keywords": ""}, {"account": ""}, {"trigger": "x"}])
def test_a_draft_that_cannot_be_saved_is_not_tested_and_says_why(client, rule, changes):
    client.force_login(superuser())

    answer = client.post(ADDRESS, form(rule, draft_of=str(rule.pk), **changes))

    assert answer.context["report"] is None
    assert "The draft cannot be tested." in answer.content.decode()
    assert untouched(rule)


def test_who_may_only_look_tests_what_is_saved(client, rule):
    client.force_login(person("automations.view_automation", "automations.view_event"))
    comment(1, "link private words", by=rule)

    answer = client.post(ADDRESS, form(rule, draft_of=str(rule.pk), keywords="nothing"))

    assert answer.context["report"].matched == 1
    assert "private words" not in answer.content.decode()


def test_it_takes_permissions_and_a_post(client, rule):
    pages = {
        (): 403,
        ("automations.view_automation",): 403,
        ("automations.view_event",): 403,
    }
    for n, (permissions, status) in enumerate(pages.items()):
        client.force_login(person(*permissions, name=f"maria{n}"))
        assert client.post(ADDRESS, form(rule, draft_of=str(rule.pk))).status_code == status
        assert client.post(ADDRESS, form(rule)).status_code == status
    client.force_login(superuser())
    assert client.get(ADDRESS).status_code == 405
    assert client.post(ADDRESS, form(rule, draft_of="no id")).status_code == 403
