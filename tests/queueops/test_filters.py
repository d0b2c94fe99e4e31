"""Filters of long lists: complete by an index, together among the newest, and honest about which."""

from __future__ import annotations

import pytest

from queueops import bounded
from queueops.models import Cause
from queueops.readonly import CappedPaginator
from tests.people import superuser
from tests.queueops.letters import row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST = "/admin/queueops/deadletter/"


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


@pytest.fixture
def few_looked_at(monkeypatch):
    """Lists look at the newest three; e0 is the oldest of five letters, and alike to e4."""
    monkeypatch.setattr(bounded, "LOOKED_AT", 3)
    alike = {"account": "2", "kind": "comment", "cause_code": 7, "cause_title": "Rare", "cause_verdict": "wait"}
    for n in range(5):
        row(f"e{n}", **(alike if n in {0, 4} else {}))


def listed(client, query):
    answer = client.get(LIST + query)
    assert answer.status_code == 200
    return [letter.event for letter in answer.context["cl"].result_list]


@pytest.mark.parametrize(
    "query",
    [
        *("?account=2", "?kind=comment", "?cause_code=7", "?cause_title=Rare", "?account= 2 "),
        *("?status__in=dead&account=2", "?status__exact=dead&cause_code=7", "?kind=comment&status__in=dead"),
    ],
)
def test_one_value_of_an_indexed_column_finds_everything(admin, few_looked_at, query):
    assert listed(admin, query) == ["e4", "e0"]


@pytest.mark.parametrize(
    "query",
    [
        *("?account=2&kind=comment", "?kind=comment&cause_code=7", "?cause_verdict=wait", "?kind=comment&kind=other"),
        *("?kind__contains=omm", "?cause_code=7&attempts_from=1", "?cause_code__gt=6&cause_code__lt=8"),
    ],
)
def test_filters_together_find_what_is_among_the_newest(admin, few_looked_at, query):
    assert listed(admin, query) == ["e4"]


def test_the_newest_are_those_of_the_id_that_is_searched_for(admin, few_looked_at):
    assert listed(admin, "?q=2&kind=comment") == ["e4", "e0"]


def test_attempts_are_from_and_to(admin):
    for n in range(1, 5):
        row(f"e{n}", attempts=n)

    assert listed(admin, "?attempts_from=2&attempts_to=3") == ["e3", "e2"]
    assert listed(admin, "?attempts_from=many") == ["e4", "e3", "e2", "e1"]
    assert listed(admin, "?attempts_from=99999999999999999999") == []


def test_codes_and_titles_are_offered_from_the_causes(admin):
    Cause.objects.create(fingerprint="f1", title="The window is closed", code=10, verdict="reject")

    page = admin.get(LIST).content.decode()

    assert 'value="The window is closed"' in page
    assert 'value="10"' in page


@pytest.mark.parametrize(("key", "status"), [("nonsense", 302), ("00000000-0000-7000-8000-000000000000", 200)])
def test_a_place_that_is_none_leads_to_the_list(admin, key, status):
    row("e1")

    assert admin.get(f"{LIST}?before={key}").status_code == status


def test_a_column_without_an_index_is_not_sorted_by_whatever_the_address_asks(admin):
    row("e1", account="1")
    row("e2", account="0")

    assert listed(admin, "?o=2") == ["e2", "e1"]
    assert listed(admin, "?o=-2") == ["e2", "e1"]
    assert listed(admin, "?o=1") == ["e1", "e2"]


def test_beyond_what_is_counted_the_page_leads_on(admin, monkeypatch):
    monkeypatch.setattr(CappedPaginator, "most", 3)
    for n in range(5):
        row(f"e{n}")

    first = admin.get(f"{LIST}?status__in=dead&o=-1")
    second = admin.get(LIST + first.context["cl"].bounds.further)

    assert "The newest\n    3 dead letters" in first.content.decode()
    assert [letter.event for letter in second.context["cl"].result_list] == ["e1", "e0"]
