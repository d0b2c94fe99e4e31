"""A text is tried against an automation and its neighbours: the real rules answer, and nothing is sent."""

from __future__ import annotations

import pytest

from automations.events import Kind
from automations.models import Automation, Delivery, Event
from automations.rehearsal import KINDS, rehearse
from tests.automations.rows import account, automation
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]


@pytest.fixture
def rule():
    return automation(account())


def test_it_answers_with_the_words_that_would_be_sent(rule):
    rule.actions = [
        {"type": "private_reply", "text": "Hi {{username}}"},
        {"type": "public_reply", "texts": ["Sent you a DM!"]},
    ]
    rule.save()

    found = rehearse(rule, Kind.COMMENT, "LINK please")

    assert found.wins
    assert found.sends == ["Private reply: “Hi maria.example”", "Public reply: “Sent you a DM!”"]
    assert not Event.objects.exists()
    assert not Delivery.objects.exists()


def test_a_neighbour_that_comes_before_it_is_named_with_why(rule):
    automation(rule.account, name="This post", media_id="1790")

    found = rehearse(rule, Kind.COMMENT, "link", "1790")

    assert (found.wins, found.winner) == (False, "This post")
    assert [look["failed"]["condition"] for look in found.looks if look["failed"]] == ["outranked"]


def test_each_rule_that_would_not_answer_says_what_it_expected(rule):
    found = rehearse(rule, Kind.COMMENT, "nice pic")

    assert (found.wins, found.winner, found.sends) == (False, "", [])
    assert found.looks[0]["failed"] == {"condition": "keyword", "expected": ["link"], "seen": "nice pic"}


def test_an_automation_that_is_off_is_tried_as_if_it_were_on_and_its_neighbours_are_not(rule):
    automation(rule.account, name="Off", match="any", priority=9, is_active=False)
    Automation.objects.filter(pk=rule.pk).update(is_active=False)
    rule.refresh_from_db()

    found = rehearse(rule, Kind.COMMENT, "link")

    assert found.wins
    assert [look["name"] for look in found.looks] == [rule.name]


@pytest.mark.parametrize("trigger", Automation.Trigger.values)
def test_every_trigger_can_be_tried(trigger, rule):
    actions = [{"type": "dm", "text": "Hi"}]
    tried = automation(rule.account, name=trigger, trigger=trigger, match="any", actions=actions)

    assert KINDS[trigger]
    for kind in KINDS[trigger]:
        # Of comments, the rule with a keyword comes first.
        assert rehearse(tried, kind, "link").winner == (rule.name if trigger == "comment" else trigger)


def address(rule):
    return f"/admin/automations/automation/{rule.pk}/try/"


def test_the_page_shows_the_winner_and_why_not_the_others(client, rule):
    client.force_login(person("automations.view_automation"))
    automation(rule.account, name="Any comment", match="any")

    text = client.post(address(rule), {"try-text": "a <b>link</b>", "try-kind": "comment"}).content.decode()

    assert "would answer this" in text
    assert "Here is the link" in text
    assert "outranked" in text
    assert "<b>link" not in text


def test_a_kind_of_another_trigger_is_refused_in_words(client, rule):
    client.force_login(superuser())

    answer = client.post(address(rule), {"try-text": "link", "try-kind": "message"})

    assert answer.context["result"] is None
    assert "Select a valid choice" in answer.content.decode()


def test_it_takes_the_permission_to_see_the_automation_and_a_post(client, rule):
    client.force_login(person())
    assert client.post(address(rule), {"try-kind": "comment"}).status_code == 403
    client.force_login(superuser())
    assert client.get(address(rule)).status_code == 405


def test_both_are_offered_on_the_automations_page(client, rule):
    client.force_login(superuser())

    text = client.get(f"/admin/automations/automation/{rule.pk}/change/").content.decode()

    assert address(rule) in text
    assert "/admin/automations/automation/backtest/" in text
    assert client.get("/admin/automations/automation/add/").status_code == 200
