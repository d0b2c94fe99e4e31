"""Searching the lists: whole ids by an index, words among the newest, and never what the user may not see."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from queueops import bounded, searching
from queueops.keys import first_id_of
from tests.people import person, superuser
from tests.queueops.letters import row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST, API = "/admin/queueops/deadletter/", "/api/dead-letters"
VIEW, TEXT = "queueops.view_deadletter", "queueops.see_text"
SECRET = {"args": [{"text": "my private words"}, {}]}


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


def changelist(client, **asked):
    answer = client.get(LIST, asked)
    assert answer.status_code == 200
    return answer


def listed(client, **asked):
    return [letter.event for letter in changelist(client, **asked).context["cl"].result_list]


def test_a_whole_id_finds_only_what_has_it_not_what_mentions_it(admin):
    row("e1", account="1784")
    row("e2", account="1", error="Account 1784 is away")

    assert listed(admin, q="1784") == ["e1"]


@pytest.mark.parametrize("q", ["e2", "m_e2", " m_e2 ", "_e2", "token", '"access token"', "ACCESS expired", "'"])
def test_ids_words_phrases_and_capitals_are_understood(admin, q):
    row("e1", error="Something else", cause_title="x")
    row("e2", error="The access token has expired, isn't it")

    assert listed(admin, q=q) == ["e2"]


def test_every_word_has_to_occur(admin):
    row("e1", error="Timeout at Meta")

    assert listed(admin, q="timeout meta") == ["e1"]
    assert listed(admin, q="timeout instagram") == []


@pytest.mark.parametrize("q", ["\x00", "%", "_", "\\", '"', "x" * 5000, "a " * 500])
def test_nothing_that_may_be_typed_breaks_the_list(admin, q):
    row("plain", error="plain", source_id="plain")

    assert changelist(admin, q=q).context["cl"].result_count in {0, 1}


def test_what_people_wrote_is_found_by_those_who_may_see_it(client):
    row("e1", payload=SECRET)
    client.force_login(person(VIEW, TEXT))

    assert listed(client, q="private words") == ["e1"]


def test_what_people_wrote_is_not_found_by_others_wherever_it_stands(client):
    row("e1", payload=SECRET)
    row("e2", error="ValueError: my private words", cause_verdict="bug")
    client.force_login(person(VIEW))

    assert listed(client, q="private") == []
    assert client.get(API, {"q": "private"}).json()["results"] == []


def test_words_are_looked_for_among_the_newest_and_the_page_says_so_and_leads_on(admin, monkeypatch):
    monkeypatch.setattr(bounded, "LOOKED_AT", 3)
    for n in range(5):
        row(f"e{n}", error="The same for all")

    first = changelist(admin, q="same")
    further = first.context["cl"].bounds.further
    second = admin.get(LIST + further)

    assert [letter.event for letter in first.context["cl"].result_list] == ["e4", "e3", "e2"]
    assert "Looked at the newest\n    3 dead letters" in first.content.decode()
    assert [letter.event for letter in second.context["cl"].result_list] == ["e1", "e0"]
    assert "Looked at" not in second.content.decode()


def test_a_whole_id_is_found_however_old_it_is(admin, monkeypatch):
    monkeypatch.setattr(bounded, "LOOKED_AT", 3)
    for n in range(5):
        row(f"e{n}")

    assert listed(admin, q="e0") == ["e0"]
    assert [letter["event"] for letter in admin.get(API, {"q": "m_e0"}).json()["results"]] == ["e0"]


def test_the_api_looks_for_parts_of_texts_among_the_newest(admin, monkeypatch):
    monkeypatch.setattr(bounded, "LOOKED_AT", 3)
    for n in range(5):
        row(f"e{n}", error="The same for all")

    found = admin.get(API, {"q": "same"}).json()["results"]

    assert [letter["event"] for letter in found] == ["e4", "e3", "e2"]


def test_more_hits_than_anybody_reads_are_cut_and_the_page_leads_on(admin, monkeypatch):
    monkeypatch.setattr(searching, "MOST_FOUND", 2)
    monkeypatch.setattr(bounded, "MOST_FOUND", 2)
    for n in range(5):
        row(f"e{n}", error="The same for all")

    answer = changelist(admin, q="same")

    assert [letter.event for letter in answer.context["cl"].result_list] == ["e4", "e3"]
    assert "The newest\n    2 dead letters" in answer.content.decode()
    following = admin.get(LIST + answer.context["cl"].bounds.further)
    assert [letter.event for letter in following.context["cl"].result_list] == ["e2", "e1"]


def test_a_period_moves_what_is_looked_at(admin, monkeypatch):
    monkeypatch.setattr(bounded, "LOOKED_AT", 2)
    old = timezone.now() - timedelta(days=10)
    row("old", id=first_id_of(old), created_at=old, error="The same for all")
    for n in range(4):
        row(f"e{n}", error="The same for all")

    assert listed(admin, q="same") == ["e3", "e2"]
    assert listed(admin, q="same", created_at_to_0=f"{old:%Y-%m-%d}") == ["old"]
