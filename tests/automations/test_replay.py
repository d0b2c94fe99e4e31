"""Events that nothing answered, answered by the rules as they are now: once, with a reason, and nothing else."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from automations import replay
from automations.events import Comment, Message
from automations.models import Account, Delivery, Event
from queueops import connections, drain, ledger
from queueops.audit import COMMAND, By
from queueops.models import AuditEntry, FallbackJob
from tests.automations import rows as made
from tests.people import person, superuser

LIST, ADDRESS = "/admin/automations/event/", "/admin/automations/event/replay/"
VIEW, REPLAY = "automations.view_event", "automations.replay_event"
BY = By(None, COMMAND, "the keyword had a typo", "maria")


def comment(
    number: int = 1, text: str = "price", account: str = made.ACCOUNT, username: str = "maria.example"
) -> Comment:
    return Comment(
        account=account,
        person=f"84{number}",
        source_id=f"c{number}",
        media_id="m1",
        text=text,
        username=username,
        at_ms=int(time.time() * 1000),
    )


def unanswered(event: Comment | Message, **fields: object) -> Event:
    about = {"kind": event.kind.value, "account": event.account, "person": event.person, "source_id": event.source_id}
    return made.event(event.key, **{**about, "text": event.text, "payload": event.as_payload(), **fields})


def plan(**filters: object) -> replay.Plan:
    return replay.plan(Event.objects.filter(**filters), with_text=True)


@pytest.fixture
def shop(db, redis) -> Account:
    shop = made.account()
    made.automation(shop, name="Price list", keywords=["price"])
    return shop


# --- What would be answered ------------------------------------------------------------------------------------------


def test_the_plan_names_the_rule_that_answers_now_and_what_it_sends(shop):
    row = unanswered(comment())

    found = plan()

    assert (found.chosen, found.by_rule, found.left_out) == ([row.pk], {"Price list": 1}, {})
    assert found.samples[0].sends == ["Private reply: “Here is the link”"]
    assert found.stopped == ""


def test_who_may_not_read_what_people_write_reads_it_in_no_plan(shop):
    unanswered(comment())

    [sample] = replay.plan(Event.objects.all(), with_text=False).samples

    assert "price" not in str(sample)


@pytest.mark.parametrize("outcome", sorted(set(Event.Outcome.values) - {one.value for one in replay.UNANSWERED}))
def test_what_was_answered_or_is_under_way_is_no_part_of_it(shop, outcome):
    unanswered(comment(), outcome=outcome)

    found = plan()

    assert (found.chosen, found.left_out) == ([], {})


@pytest.mark.parametrize(
    ("event", "why"),
    [
        (comment(text="lovely"), replay.NO_RULE),
        (comment(account="17849999999999999"), replay.NOT_CONNECTED),
        (comment(username="demo.shop"), replay.OWN),
    ],
)
def test_what_would_not_be_answered_is_left_out_with_the_reason(shop, event, why):
    unanswered(event)

    found = plan()

    assert (found.chosen, found.left_out) == ([], {why: 1})


def test_what_cannot_be_read_is_left_out(shop):
    made.event("k1", payload={"kind": "comment"})

    assert plan().left_out == {replay.UNREADABLE: 1}


def test_an_event_whose_window_has_closed_is_left_out_and_a_word_since_then_opens_it(shop):
    made.automation(shop, name="Answer", trigger="dm", keywords=["price"], actions=[{"type": "dm", "text": "12 euros"}])
    yesterday = timezone.now() - timedelta(hours=25)
    message = Message(account=made.ACCOUNT, person="842", source_id="m1", at_ms=None, text="price")
    row = unanswered(message, happened_at=yesterday, received_at=yesterday)
    assert plan().left_out == {replay.TOO_LATE: 1}

    talk = made.conversation(shop, "842")
    talk.last_inbound_at = timezone.now()
    talk.save()

    assert plan().chosen == [row.pk]


def test_the_newest_come_first_and_no_more_than_so_many_at_a_time(shop, monkeypatch):
    monkeypatch.setattr(replay, "MOST", 2)
    rows = [unanswered(comment(number)) for number in range(3)]

    found = plan()

    assert found.chosen == [rows[2].pk, rows[1].pk]
    assert found.stopped == "at most 2 are answered at a time"
    assert found.since == rows[0].received_at


def test_it_looks_for_so_long_and_says_how_far_it_came(shop, monkeypatch):
    monkeypatch.setattr(replay, "MOST_SECONDS", -1.0)
    row = unanswered(comment())

    found = plan()

    assert (found.chosen, found.since) == ([], row.received_at)
    assert "seconds" in found.stopped


def test_accounts_and_rules_are_asked_for_once_however_many_events_there_are(shop, django_assert_num_queries):
    for number in range(5):
        unanswered(comment(number))

    with django_assert_num_queries(3):
        assert len(plan().chosen) == 5


# --- Answering them --------------------------------------------------------------------------------------------------


def test_an_event_that_matched_nothing_is_answered_once_its_rule_is_there(play, redis, rows):
    def add_rule() -> None:
        made.automation(Account.objects.get(username="demo.shop"), name="Price list", keywords=["zebra"])

    async def scenario(graph, answer):
        await answer(comment(text="zebra"), receipt="r")
        assert not graph.received
        await rows(add_rule)
        found = await rows(plan)
        assert await rows(replay.replay, found.chosen, BY) == 1
        assert await rows(replay.replay, found.chosen, BY) == 0
        assert await rows(lambda: Event.objects.get().outcome) == "waiting"
        assert await rows(lambda: drain.drain(connections.client())) == 1
        await answer(comment(text="zebra"), receipt="another")
        await answer(comment(text="zebra"), receipt="a redelivery of Meta's")

    graph = play(scenario)

    assert [call.text for call in graph.received] == ["Here is the link"]
    event = Event.objects.get()
    assert (event.outcome, event.automation.name) == ("sent", "Price list")
    assert Delivery.objects.get().status == "sent"
    entry = AuditEntry.objects.exclude(number=0).get()
    assert (entry.action, entry.reason, entry.count) == ("replay", "the keyword had a typo", 1)
    counts = ledger.whole(redis)
    assert (counts.received, counts.total("waiting"), counts.unexplained) == (1, 1, 0)


def test_one_that_matches_nothing_after_all_is_over_again(play, rows):
    async def scenario(graph, answer):
        await answer(comment(text="zebra"), receipt="r")
        [key] = await rows(lambda: list(Event.objects.values_list("pk", flat=True)))
        assert await rows(replay.replay, [key], BY) == 1
        await answer(comment(text="zebra"), receipt="another")

    assert not play(scenario).received
    assert Event.objects.get().outcome == "no_match"


@pytest.mark.parametrize("tier", ["redis", "database"])
def test_what_the_queue_still_holds_is_left_alone_and_its_neighbours_go(shop, redis, tier):
    held, free = unanswered(comment(1)), unanswered(comment(2))
    if tier == "redis":
        redis.hset(f"rq:job:{held.key}", "status", "started")
    else:
        FallbackJob.objects.create(job=held.key, lane="low", func="f", data=b"")

    assert replay.replay([held.pk, free.pk], BY) == 1

    held.refresh_from_db()
    free.refresh_from_db()
    assert (held.outcome, free.outcome) == ("no_match", "waiting")
    assert list(AuditEntry.objects.exclude(number=0).get().targets.values_list("name", flat=True)) == [str(free)]


def test_unknown_keys_do_nothing(db, redis):
    assert replay.replay([uuid.uuid4()], BY) == 0
    assert not AuditEntry.objects.exclude(number=0).exists()


# --- In the console --------------------------------------------------------------------------------------------------


def test_the_list_s_filters_choose_and_a_post_with_a_reason_answers(client, shop):
    row, other = unanswered(comment(1)), unanswered(comment(2), kind="live_comment")
    client.force_login(superuser())
    filters = "?kind__in=comment"
    assert f"{ADDRESS}{filters}" in client.get(f"{LIST}{filters}").content.decode()

    page = client.get(f"{ADDRESS}{filters}").content.decode()
    assert "Price list: 1" in page
    assert "This field is required" in client.post(f"{ADDRESS}{filters}", {"reason": " "}).content.decode()
    assert Event.objects.filter(outcome="no_match").count() == 2

    done = client.post(f"{ADDRESS}{filters}", {"reason": "typo"}, follow=True)
    assert done.redirect_chain[-1][0] == f"{LIST}{filters}"
    assert "One event goes through the queue once more" in done.content.decode()
    row.refresh_from_db()
    other.refresh_from_db()
    assert (row.outcome, other.outcome) == ("waiting", "no_match")


def test_the_page_of_an_event_that_nothing_answered_leads_to_it_and_shows_who_did_it(client, shop):
    row = unanswered(comment())
    client.force_login(superuser())
    address = f"{ADDRESS}?id__exact={row.pk}"
    assert address in client.get(f"{LIST}{row.pk}/change/").content.decode()

    client.post(address, {"reason": "the keyword had a typo"})

    page = client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert "the keyword had a typo" in page
    assert address not in page


def test_when_nothing_would_be_answered_it_says_so(client, shop):
    unanswered(comment(text="lovely"))
    client.force_login(superuser())

    assert "There is nothing to do" in client.get(ADDRESS).content.decode()
    assert "Nothing was done" in client.post(ADDRESS, {"reason": "typo"}, follow=True).content.decode()
    assert not AuditEntry.objects.exclude(number=0).exists()


def test_it_says_when_somebody_takes_them_up_in_the_same_moment(client, shop, monkeypatch):
    unanswered(comment())
    client.force_login(superuser())
    looks = iter([True, False])  # free when it is chosen, and not any more when it goes
    monkeypatch.setattr("queueops.again.free", lambda ids: set(ids) if next(looks) else set())

    answer = client.post(ADDRESS, {"reason": "typo"}, follow=True)

    assert "were just being taken up" in answer.content.decode()
    assert Event.objects.get().outcome == "no_match"
    assert not AuditEntry.objects.exclude(number=0).exists()


@pytest.mark.parametrize("query", ["?outcome__in=nonsense&id__exact=1", "?received_at__gte=x", "?nothing=1"])
def test_filters_that_nobody_can_read_are_refused(client, shop, query):
    client.force_login(superuser())

    assert client.post(f"{ADDRESS}{query}", {"reason": "typo"}).status_code == 400
    assert not FallbackJob.objects.exists()


def test_it_takes_its_permission(client, shop):
    row = unanswered(comment())
    client.force_login(person(VIEW))
    assert ADDRESS not in client.get(LIST).content.decode()
    assert ADDRESS not in client.get(f"{LIST}{row.pk}/change/").content.decode()
    assert [client.get(ADDRESS).status_code, client.post(ADDRESS, {"reason": "mine"}).status_code] == [403, 403]
    assert Event.objects.get().outcome == "no_match"

    client.force_login(person(VIEW, REPLAY, name="tom"))
    client.post(ADDRESS, {"reason": "mine"})
    assert Event.objects.get().outcome == "waiting"


def test_events_of_accounts_that_are_hidden_are_not_answered(client, shop):
    unanswered(comment())
    client.force_login(person(VIEW, REPLAY))
    shop.groups.add(Group.objects.create(name="others"))

    assert "There is nothing to do" in client.get(ADDRESS).content.decode()
    client.post(ADDRESS, {"reason": "mine"})
    assert Event.objects.get().outcome == "no_match"
