"""What an order is about, when that is more than a page can count: the least, said as that, until a worker counts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from queueops import operations, plan_counts, slices
from queueops.audit import CONSOLE, By
from queueops.models import DeadLetter, Operation
from queueops.operations import NothingToDo
from tests.people import person, superuser
from tests.queueops.letters import READ_WHOLE, dead, plans_about_letters, row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

REFUSED = {"cause_code": 100, "cause_title": "No such person", "cause_verdict": "reject"}


@pytest.fixture(autouse=True)
def _three_are_looked_at(monkeypatch):
    monkeypatch.setattr(plan_counts, "LOOKED_AT", 3)


@pytest.fixture
def ada():
    return By(superuser(), CONSOLE, "Meta is back")


def carry_out():
    for _ in range(20):
        Operation.objects.update(next_at=timezone.now())
        if not slices.turn():
            return
    raise AssertionError("It never ends.")


def test_as_many_as_are_looked_at_are_counted_exactly(ada):
    for n in range(3):
        row(f"e{n}")

    planned = operations.plan("retry", {}, ada.user)

    assert (planned.n, planned.is_all) == (3, True)


def test_of_more_the_oldest_are_counted_and_it_says_that_there_are_more(ada):
    row("refused", **REFUSED)
    for n in range(4):
        row(f"e{n}", account=str(n))

    planned = operations.plan("retry", {}, ada.user)

    assert (planned.n, planned.left_out, planned.is_all) == (2, {"reject": 1}, False)
    assert planned.by_account == [("0", 1), ("1", 1)]


@pytest.mark.parametrize(
    ("selection", "n"),
    [
        ({"account": "2"}, 2),
        ({"account": "2", "lane": "low"}, 1),
        ({"kind": "comment"}, 1),
        ({"automation": "a1"}, 1),
        ({"code": "100", "include": "reject"}, 1),
        ({"title": "No such person", "include": "reject"}, 1),
        ({"fingerprint": "f", "q": "m_g"}, 1),
        ({"kind": "message", "account": "2"}, 2),
    ],
)
def test_what_an_index_finds_is_exact_however_many_others_there_are(ada, selection, n):
    for other in range(6):
        row(f"e{other}")
    row("f", account="2", lane="low")
    row("g", account="2", fingerprint="f")
    row("h", kind="comment", automation="a1")
    row("i", **REFUSED)

    planned = operations.plan("retry", selection, ada.user)

    assert (planned.n, planned.is_all) == (n, True)


def test_a_period_is_looked_at_from_its_beginning(ada):
    now = timezone.now()
    for n in range(6):
        row(
            f"e{n}", id=DeadLetter(id=f"0190{n:04x}-0000-7000-8000-000000000000").id, created_at=now - timedelta(days=9)
        )
    row("late")

    planned = operations.plan("retry", {"since": (now - timedelta(hours=1)).isoformat()}, ada.user)

    assert (planned.n, planned.is_all) == (1, True)


def test_a_discard_is_counted_as_far_as_one_alone_may_go(ada, settings):
    settings.QUEUE_CONSENT_ABOVE = 5
    for n in range(5):
        row(f"e{n}")
    planned = operations.plan("discard", {}, ada.user)
    assert (planned.n, planned.is_all, planned.needs_consent) == (5, True, False)
    row("one more")
    row("two more")
    assert operations.plan("discard", {}, ada.user).needs_consent


def test_an_unknown_number_is_discarded_by_two(ada, settings):
    settings.QUEUE_CONSENT_ABOVE = 3
    for n in range(6):
        row(f"e{n}")
    row("rare", attempts=9)

    planned = operations.plan("discard", {"attempts_from": "9"}, ada.user)

    assert (planned.n, planned.is_all, planned.needs_consent) == (0, False, True)


def test_the_worker_counts_them_all_before_it_begins(ada):
    dead("refused", **REFUSED)
    for n in range(5):
        dead(f"e{n}")
    dead("refused as well", **REFUSED)
    operation = operations.start("retry", {"lane": "high"}, ada)
    assert (operation.total, operation.is_counted) == (2, False)

    carry_out()

    operation.refresh_from_db()
    assert (operation.state, operation.done, operation.total, operation.is_counted) == ("done", 5, 5, True)
    assert operation.left_out == {"Meta refuses them for good": 2}


def test_what_none_of_the_oldest_are_is_found_by_the_worker(ada):
    for n in range(4):
        row(f"e{n}")
    dead("rare", attempts=9)

    operation = operations.start("retry", {"attempts_from": "9"}, ada)
    carry_out()

    operation.refresh_from_db()
    assert (operation.state, operation.total, operation.done) == ("done", 1, 1)
    with pytest.raises(NothingToDo):
        operations.start("retry", {"account": "nobody"}, ada)


def test_the_pages_say_more_than(client, ada):
    for n in range(5):
        row(f"e{n}")
    client.force_login(ada.user)

    page = client.get("/admin/queueops/operation/plan/retry/").content.decode()
    assert "More than 3 dead letters" in page
    assert "A worker counts them all before it begins" in page
    client.post("/admin/queueops/operation/plan/retry/", {"canary": 0, "pace": 50, "reason": "Meta is back"})
    operation = Operation.objects.get()
    for address in ("/admin/queueops/operation/", f"/admin/queueops/operation/{operation.pk}/change/"):
        assert "0 of more than 3" in client.get(address).content.decode()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="asks PostgreSQL for its plans")
@pytest.mark.parametrize("query", ["", "?account=17841456778752687", "?q=nowhere", "?lane=low&attempts_from=9"])
def test_the_plan_reads_no_table_whole(client, query):
    row("first")
    like = DeadLetter.objects.values().get()
    DeadLetter.objects.bulk_create(
        DeadLetter(**{**like, "id": DeadLetter._meta.pk.get_default(), "event": f"e{n}"}) for n in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE queueops_deadletter")
    client.force_login(person("queueops.bulk_retry_deadletter", "queueops.view_deadletter", "queueops.see_text"))

    with CaptureQueriesContext(connection) as asked:
        assert client.get(f"/admin/queueops/operation/plan/retry/{query}").status_code == 200

    plans = plans_about_letters(asked)
    assert len(plans) >= 2
    assert not [sql for sql, plan in plans if READ_WHOLE in plan]
