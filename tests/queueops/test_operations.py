"""Orders over many dead letters: what they would do, who must consent, and how workers carry them out in slices."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisAway

from queueops import audit, deadletters, operations, slices
from queueops.audit import API, CONSOLE, By
from queueops.fingerprints import fingerprint
from queueops.models import AuditEntry, DeadLetter, Operation
from queueops.operations import NothingToDo
from tests.people import person, superuser
from tests.queueops import jobs_for_tests
from tests.queueops.letters import dead, row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

DISCARD, CONSENT = "queueops.discard_deadletter", "queueops.consent_operation"
REJECTED = {"cause_code": 100, "cause_subcode": 0, "cause_title": "No such person", "cause_verdict": "reject"}


@pytest.fixture
def ada():
    return By(superuser(), CONSOLE, "Meta is back")


def named(letter):
    letter.fingerprint = fingerprint(letter)
    letter.save()
    return letter


def carry_out():
    """Every turn that is due, now and later."""
    n = 0
    Operation.objects.update(next_at=timezone.now())
    while slices.turn():
        n += 1
        Operation.objects.update(next_at=timezone.now())
        assert n < 100
    return n


def state(operation):
    operation.refresh_from_db()
    return operation.state, operation.done


def events(status):
    return set(DeadLetter.objects.filter(status=status).values_list("event", flat=True))


def finish(redis, *ids):
    """As if a worker had run these jobs to a good end."""
    for job_id in ids:
        redis.lrem("rq:queue:high", 0, job_id)
        redis.delete(f"rq:job:{job_id}")


def die_again(redis, job_id, **fields):
    redis.lrem("rq:queue:high", 0, job_id)
    redis.zadd("rq:failed:high", {job_id: "+inf"})
    redis.hset(f"rq:job:{job_id}", "status", "failed")
    return named(row(job_id, func=f"{jobs_for_tests.HERE}.note", **fields))


def test_a_plan_says_how_many_of_what_and_what_it_leaves_alone(ada):
    for n in range(3):
        named(row(f"e{n}"))
    named(row("elsewhere", account="2"))
    named(row("late", expires_at=timezone.now() - timedelta(minutes=1)))
    named(row("refused", **REJECTED))
    named(row("refused and late", expires_at=timezone.now() - timedelta(minutes=1), **REJECTED))
    named(row("over", status="resolved"))

    plan = operations.plan("retry", {"lane": "high"}, ada.user, pace=2)

    assert (plan.n, plan.seconds, plan.needs_consent) == (4, 2.0, False)
    assert plan.left_out == {"expired": 2, "reject": 1}
    assert [(title, n) for title, _, n in plan.by_cause] == [("The account's access token has expired", 4)]
    assert plan.by_account == [("17841456778752687", 3), ("2", 1)]


@pytest.mark.parametrize(
    ("include", "n", "left"),
    [
        ([], 1, {"expired": 1, "reject": 1}),
        (["expired"], 2, {"reject": 1}),
        (["reject"], 2, {"expired": 1}),
        (["reject", "expired"], 3, {}),
    ],
)
def test_what_is_left_out_goes_when_that_is_said(ada, include, n, left):
    row("e1")
    row("late", expires_at=timezone.now() - timedelta(minutes=1))
    row("refused", **REJECTED)

    plan = operations.plan("retry", {"include": include}, ada.user)

    assert (plan.n, plan.left_out) == (n, left)


def test_a_discard_leaves_nothing_out(ada):
    row("refused", **REJECTED)
    row("late", expires_at=timezone.now() - timedelta(minutes=1))

    assert operations.plan("discard", {}, ada.user).n == 2


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ({}, {"a", "b", "c"}),
        ({"lane": ["low", "default"]}, {"b", "c"}),
        ({"kind": "comment"}, {"b"}),
        ({"account": "2"}, {"c"}),
        ({"cause": "190"}, {"a", "c"}),
        ({"cause": "needs_owner"}, {"a", "c"}),
        ({"cause": "no such"}, {"b"}),
        ({"code": ["100", "190"]}, {"a", "b", "c"}),
        ({"verdict": "reject"}, {"b"}),
        ({"q": "m_a"}, {"a"}),
        ({"q": ["validating", "m_b"]}, {"b"}),
        ({"since": "2999-01-01"}, set()),
        ({"until": "2999-01-01T00:00:00Z"}, {"a", "b", "c"}),
        ({"fingerprint": "none"}, set()),
        ({"lane": "low", "account": "1"}, set()),
    ],
)
def test_a_selection_finds_what_matches_all_of_its_filters(ada, selection, found):
    named(row("a"))
    named(row("b", lane="low", kind="comment", **REJECTED))
    named(row("c", lane="default", account="2"))

    operations.start("discard", selection, ada) if found else None
    carry_out()

    assert events("discarded") == found


@pytest.mark.parametrize(
    "wrong", [{"lanes": "low"}, {"include": "all"}, {"code": "many"}, {"since": "yesterday"}, {"status": "dead"}]
)
def test_a_selection_that_cannot_be_read_selects_nothing(ada, wrong):
    row("e1")
    with pytest.raises(ValueError, match=r"."):
        operations.start("discard", wrong, ada)
    assert not Operation.objects.exists()


def test_an_order_over_nothing_is_none(ada):
    with pytest.raises(NothingToDo):
        operations.start("retry", {}, ada)


@pytest.mark.parametrize("given", [{"canary": -1}, {"pace": 0}, {"pace": 10_000}])
def test_a_pace_beyond_reason_is_refused(ada, given):
    row("e1")
    with pytest.raises(ValueError, match="letters a second"):
        operations.start("retry", {}, ada, **given)


def test_a_retry_puts_all_of_them_back_and_says_how_many(ada, redis):
    for n in range(5):
        dead(f"e{n}")
    operation = operations.start("retry", {}, ada)

    carry_out()

    assert state(operation) == ("done", 5)
    assert redis.llen("rq:queue:high") == 5
    assert events("retried") == {f"e{n}" for n in range(5)}
    assert operation.started_at <= operation.finished_at


def test_each_slice_and_each_order_is_in_the_audit_log(ada, monkeypatch):
    monkeypatch.setattr(slices, "LETTERS_A_SLICE", 2)
    for n in range(3):
        dead(f"e{n}")
    operation = operations.start("discard", {"lane": "high"}, ada)
    carry_out()

    entries = list(AuditEntry.objects.filter(number__gt=0).order_by("number").values_list("action", "count", "reason"))

    assert entries == [
        ("discard many", 1, "Meta is back"),
        ("discard", 2, "Meta is back"),
        ("discard", 1, "Meta is back"),
    ]
    first = AuditEntry.objects.get(number=1)
    assert first.details["total"] == 3
    assert first.details["selection"] == {"lane": ["high"]}
    assert AuditEntry.objects.get(number=2).details == {"operation": str(operation.pk)}
    assert audit.verify().broken_at is None


def test_letters_that_come_later_are_not_touched(ada):
    dead("e1")
    operations.start("discard", {}, ada)
    dead("later", created_at=timezone.now() + timedelta(seconds=1))

    carry_out()

    assert events("dead") == {"later"}


def test_what_somebody_else_handles_meanwhile_is_left_to_them_and_counted(ada):
    letters = [dead(f"e{n}") for n in range(3)]
    operation = operations.start("retry", {}, ada)
    deadletters.discard(letters[:1])

    carry_out()

    assert state(operation) == ("done", 2)
    assert operation.left_out == {slices.TAKEN: 1}
    assert events("discarded") == {"e0"}


def test_the_pace_says_when_the_next_slice_is_due(ada, monkeypatch):
    monkeypatch.setattr(slices, "LETTERS_A_SLICE", 2)
    for n in range(3):
        dead(f"e{n}")
    operation = operations.start("retry", {}, ada, pace=1)

    assert slices.turn()

    operation.refresh_from_db()
    assert timedelta(seconds=1) < operation.next_at - operation.started_at < timedelta(seconds=3)
    assert not slices.turn()
    assert operation.done == 2


def test_one_that_somebody_holds_is_not_taken_by_another(ada):
    dead("e1")
    operation = operations.start("retry", {}, ada)
    Operation.objects.update(lease_until=timezone.now() + timedelta(seconds=30), leased_by="another")

    assert not slices.turn()
    assert state(operation) == ("running", 0)


def test_a_turn_that_lost_its_lease_touches_nothing_more(ada, monkeypatch):
    dead("e1")
    operation = operations.start("discard", {}, ada)
    find = operations.candidates

    def slowly(one):
        Operation.objects.update(leased_by="another")
        return find(one)

    monkeypatch.setattr(operations, "candidates", slowly)
    slices.turn()

    assert state(operation) == ("running", 0)
    assert events("dead") == {"e1"}


class Killed(BaseException):
    """As `kill -9`: nothing catches it."""


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_whoever_comes_after_a_killed_worker_finishes_and_counts_each_letter_once(ada, redis, monkeypatch, after):
    for n in range(4):
        dead(f"e{n}")
    operation = operations.start("retry", {}, ada)
    with monkeypatch.context() as patch:
        retry_one, left = deadletters._retry, iter(range(after))

        def killed_in_the_middle(*args):
            if next(left, None) is None:
                raise Killed
            return retry_one(*args)

        patch.setattr(deadletters, "_retry", killed_in_the_middle)
        with pytest.raises(Killed):
            slices.turn()
    assert not slices.turn()  # it still holds the lease
    Operation.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    carry_out()

    assert state(operation) == ("done", 4)
    assert redis.llen("rq:queue:high") == 4
    handled = AuditEntry.objects.filter(action="retry")
    assert sorted(name for entry in handled for name in entry.targets.values_list("name", flat=True)) == [
        f"e{n}" for n in range(4)
    ]


def test_a_worker_killed_before_it_wrote_the_count_down_leaves_it_to_the_next(ada, monkeypatch):
    dead("e1")
    operation = operations.start("discard", {}, ada)
    with monkeypatch.context() as patch:
        patch.setattr("queueops.operators.record_slice", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            slices.turn()
    assert state(operation) == ("running", 0)
    Operation.objects.update(lease_until=None)

    carry_out()

    assert state(operation) == ("done", 1)
    assert AuditEntry.objects.filter(action="discard").count() == 1


def test_while_redis_is_away_it_waits_and_loses_nothing(ada, monkeypatch):
    for n in range(3):
        dead(f"e{n}")
    operation = operations.start("retry", {}, ada)
    with monkeypatch.context() as patch:
        retry_one = deadletters._retry

        def gone_after_the_first(letter, *more):
            if letter.event != "e0":
                raise RedisAway
            return retry_one(letter, *more)

        patch.setattr(deadletters, "_retry", gone_after_the_first)
        assert slices.turn()
    assert state(operation) == ("running", 1)
    assert operation.next_at > timezone.now()
    Operation.objects.update(next_at=timezone.now())

    carry_out()

    assert state(operation) == ("done", 3)


def test_a_letter_that_nobody_can_handle_halts_it_and_says_so(ada):
    dead("e1")
    DeadLetter.objects.update(payload={})
    operation = operations.start("retry", {}, ada)

    carry_out()

    assert state(operation) == ("halted", 0)
    assert "KeyError" in operation.halted_because


def test_a_cancelled_one_stops_with_what_it_has(ada, monkeypatch):
    monkeypatch.setattr(slices, "LETTERS_A_SLICE", 1)
    for n in range(3):
        dead(f"e{n}")
    operation = operations.start("discard", {}, ada)
    slices.turn()

    assert operations.cancel(operation, ada)
    assert not operations.cancel(operation, ada)
    carry_out()

    assert state(operation) == ("cancelled", 1)
    assert events("dead") == {"e1", "e2"}


def test_a_person_who_is_gone_orders_nothing_any_more(ada):
    dead("e1")
    operation = operations.start("discard", {}, ada)
    ada.user.delete()

    carry_out()

    assert state(operation) == ("halted", 0)


# --- Canary --------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_cause(ada):
    """A retry by cause of eight letters, whose five canaries are on their way."""
    letters = [named(dead(f"e{n}")) for n in range(8)]
    operation = operations.start("retry", {"fingerprint": letters[0].fingerprint}, ada)
    slices.turn()
    Operation.objects.update(next_at=timezone.now())
    return operation


def test_a_retry_by_cause_sends_five_first_and_waits_for_them(by_cause, redis):
    assert state(by_cause) == ("running", 5)

    slices.turn()

    assert state(by_cause) == ("running", 5)
    assert not by_cause.canary_passed
    assert redis.llen("rq:queue:high") == 5


def test_once_they_have_ended_well_the_rest_follows(by_cause, redis):
    finish(redis, "e0", "e1", "e2", "e3", "e4")

    carry_out()

    assert state(by_cause) == ("done", 8)


def test_one_that_dies_again_halts_it_and_the_page_can_say_which(by_cause, redis):
    finish(redis, "e0", "e1", "e2", "e3")
    die_again(redis, "e4")

    carry_out()

    assert state(by_cause) == ("halted", 5)
    assert by_cause.halted_because == "1 of the 5 that went first died again, of the same cause"
    assert operations.again(by_cause) == 1


def test_one_that_dies_of_something_else_halts_it_too(by_cause, redis):
    finish(redis, "e0", "e1", "e2", "e3")
    die_again(redis, "e4", **REJECTED)

    carry_out()

    assert by_cause.pk
    assert state(by_cause) == ("halted", 5)
    assert "0 of the same cause" in by_cause.halted_because


def test_a_halted_one_goes_on_when_somebody_says_so(by_cause, ada, redis):
    finish(redis, "e0", "e1", "e2", "e3")
    die_again(redis, "e4")
    carry_out()

    assert operations.go_on(by_cause, ada)
    carry_out()

    assert state(by_cause) == ("done", 8)


def test_nobody_has_to_wait_for_the_canary(by_cause, ada):
    assert operations.go_on(by_cause, ada)

    carry_out()

    assert state(by_cause) == ("done", 8)


def after_a_slice_of_20(redis, monkeypatch, ada, *, well: int) -> Operation:
    """A retry of 30 whose first 20 have ended: so many well, the others dead again."""
    monkeypatch.setattr(slices, "LETTERS_A_SLICE", 20)
    for n in range(30):
        named(dead(f"e{n:02}"))
    operation = operations.start("retry", {}, ada, canary=0)
    slices.turn()
    finish(redis, *(f"e{n:02}" for n in range(well)))
    for n in range(well, 20):
        die_again(redis, f"e{n}")
    return operation


def test_it_halts_later_when_more_than_a_tenth_dies_again(ada, redis, monkeypatch):
    operation = after_a_slice_of_20(redis, monkeypatch, ada, well=17)

    carry_out()

    assert state(operation) == ("halted", 20)
    assert "3 of the last 20" in operation.halted_because


def test_a_few_that_die_again_are_let_pass(ada, redis, monkeypatch):
    operation = after_a_slice_of_20(redis, monkeypatch, ada, well=18)

    carry_out()

    assert state(operation) == ("done", 30)
    assert operations.again(operation) == 2


# --- Two people ----------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(settings, ada):
    settings.QUEUE_CONSENT_ABOVE = 1
    dead("e1")
    dead("e2")
    return operations.start("discard", {}, ada)


def test_a_large_discard_waits_for_a_second_person(asked):
    assert carry_out() == 0
    assert state(asked) == ("asked", 0)


def test_with_their_consent_it_begins(asked):
    bob = person(DISCARD, CONSENT, name="bob")

    assert operations.consent(asked, By(bob, CONSOLE, "agreed"))
    assert not operations.consent(asked, By(bob, CONSOLE, "agreed"))
    carry_out()

    assert state(asked) == ("done", 2)
    assert asked.consented_by == "bob"


@pytest.mark.parametrize("permissions", [[], [DISCARD], [CONSENT]])
def test_not_everybody_can_consent(asked, permissions):
    with pytest.raises(PermissionDenied):
        operations.consent(asked, By(person(*permissions, name="bob"), CONSOLE))
    assert state(asked) == ("asked", 0)


def test_nobody_consents_to_their_own(asked, ada):
    with pytest.raises(PermissionDenied):
        operations.consent(asked, By(ada.user, API))
    with pytest.raises(PermissionDenied):
        operations.consent(asked, By(None, "command", shell="root"))


def test_a_retry_and_a_small_discard_need_nobody(settings, ada):
    settings.QUEUE_CONSENT_ABOVE = 1
    row("e1")
    assert operations.start("discard", {}, ada).state == "running"
    row("e2")
    assert operations.start("retry", {}, ada).state == "running"
