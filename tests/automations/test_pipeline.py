"""From an event to its answers: what is sent, what is written down, and what is never sent a second time."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test import override_settings
from django.utils import timezone

from automations import records, tasks
from automations.events import Comment, LiveComment, Mention, Message, Postback, QuickReply
from automations.models import Account, Automation, Contact, Conversation, Delivery, Event
from queueops import deadletters, metrics
from queueops.errors import Reject, RetryLater, TryAgain
from queueops.jobs import Done, Failure
from queueops.keys import time_of
from queueops.models import DeadLetter

SHOP = "17841456778752687"
PERSON = "8422491661125971"
OFFER = "Here you go: https://example.com/offer"
HOUR_MS = 3_600_000


def now_ms() -> int:
    return int(time.time() * 1000)


def message(text: str = "LINK", source_id: str = "mid.1", at_ms: int | None = None) -> Message:
    return Message(account=SHOP, person=PERSON, source_id=source_id, at_ms=at_ms or now_ms(), text=text)


def comment(text: str = "LINK", source_id: str = "1001", **fields) -> Comment:
    defaults = {"account": SHOP, "person": PERSON, "at_ms": now_ms(), "username": "maria.example"}
    return Comment(source_id=source_id, text=text, **{**defaults, **fields})


def rule(**fields) -> Automation:
    defaults = {
        "account": Account.objects.get(instagram_id=SHOP),
        "name": "Test rule",
        "trigger": Automation.Trigger.COMMENT,
        "match": Automation.Match.ANY,
        "priority": 5,
        "media_id": "",
    }
    automation = Automation(**{**defaults, **fields})
    automation.full_clean()
    automation.save()
    return automation


def texts(graph) -> list[str]:
    return [
        call.body["message"]["text"] if "recipient" in call.body else call.body["message"] for call in graph.received
    ]


# --- What is sent, and what is written down --------------------------------------------------------------------------


def test_a_message_that_a_rule_matches_is_answered_and_everything_about_it_is_kept(play):
    async def scenario(graph, answer):
        assert await answer(message()) is Done.COMPLETED

    graph = play(scenario)

    assert texts(graph) == [OFFER]
    event = Event.objects.get()
    assert (event.outcome, event.automation.name, event.person) == ("sent", "Offer", PERSON)
    assert [look["matched"] for look in event.rules].count(True) == 1
    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.step, delivery.kind) == ("sent", 1, "dm")
    assert delivery.message_id == graph.received[0].message_id
    assert Conversation.objects.get().last_inbound_at == event.happened_at


def test_a_person_who_cannot_be_written_down_is_written_by_the_next_attempt_and_nothing_is_sent_twice(play, rows):
    def rename(old: str, new: str) -> None:
        with connection.schema_editor() as editor:
            editor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    async def scenario(graph, answer):
        await rows(rename, "automations_conversation", "away")
        try:
            with pytest.raises(DatabaseError):
                await answer(message())
        finally:
            await rows(rename, "away", "automations_conversation")
        assert await rows(Event.objects.values_list("outcome", flat=True).get) == "processing"
        assert await rows(Delivery.objects.values_list("status", flat=True).get) == "sent"
        await answer(message())

    assert texts(play(scenario)) == [OFFER]
    assert Event.objects.get().outcome == "sent"
    assert Conversation.objects.get().contact.instagram_scoped_id == PERSON


def test_a_message_that_no_rule_matches_says_for_every_rule_why_not(play):
    async def scenario(graph, answer):
        await answer(message("nice pic"))

    assert texts(play(scenario)) == []
    event = Event.objects.get()
    assert event.outcome == "no_match"
    failed = {look["name"]: look["failed"] for look in event.rules}
    assert failed["Offer"]["condition"] == "keyword"
    assert failed["Offer"]["expected"] == ["link", "price"]
    assert failed["Offer"]["seen"] == "nice pic"


def test_an_event_of_an_unknown_account_is_kept_as_such(play):
    async def scenario(graph, answer):
        await answer(Message(account="17841400000000001", person=PERSON, source_id="mid.1", at_ms=None, text="LINK"))

    assert texts(play(scenario)) == []
    assert Event.objects.get().outcome == "unknown_account"


@pytest.mark.parametrize("fails", [False, True])
def test_the_key_of_an_events_row_is_of_when_it_was_received_however_long_it_waited(play, rows, fails):
    received = datetime(2026, 1, 5, 12, tzinfo=UTC)

    async def scenario(graph, answer):
        if fails:
            failure = Failure(reason="Broken", attempt=1, at=timezone.now(), dead=False)
            await rows(records.note_failure, message(), {"id": "r", "at": received.isoformat()}, failure)
        else:
            await answer(message(), received_at=received)

    play(scenario)

    assert time_of(Event.objects.get().pk, received) == received


@pytest.mark.parametrize(
    "event",
    [
        Postback(account=SHOP, person=PERSON, source_id="m1", at_ms=None, text="hello", payload="LINK"),
        QuickReply(account=SHOP, person=PERSON, source_id="m2", at_ms=None, text="link", payload="flow_42_step_2_yes"),
        Mention(account=SHOP, person="", source_id="m3", at_ms=None, media_id="1"),
    ],
)
def test_an_event_is_answered_by_the_rules_of_its_own_kind_only(play, event):
    async def scenario(graph, answer):
        await answer(event)

    assert texts(play(scenario)) == []
    assert Event.objects.get().outcome == "no_match"


def test_the_accounts_own_comment_is_not_answered_even_if_only_its_name_tells(play):
    async def scenario(graph, answer):
        await answer(comment(username="demo.shop"))

    assert texts(play(scenario)) == []
    assert Event.objects.get().reason == "The account's own comment."


def test_a_rule_for_this_post_goes_before_one_for_any_post(play, demo_data):
    rule(media_id="77", actions=[{"type": "private_reply", "text": "This post, {{username}}!"}])

    async def scenario(graph, answer):
        await answer(comment(media_id="77"))
        await answer(comment(source_id="1002", media_id="78"))

    graph = play(scenario)

    assert texts(graph)[0] == "This post, maria.example!"
    assert "This post" not in texts(graph)[1]


def test_an_answer_to_a_reply_goes_under_its_top_level_comment(play):
    async def scenario(graph, answer):
        await answer(comment(parent_id="900"))

    assert [call.path.split("/", 2)[2] for call in play(scenario).received] == [f"{SHOP}/messages", "900/replies"]


def test_a_live_comment_gets_no_public_reply(play, demo_data):
    rule(
        trigger="live_comment",
        actions=[{"type": "private_reply", "text": "Hi"}, {"type": "public_reply", "texts": ["Look into your inbox"]}],
    )

    async def scenario(graph, answer):
        await answer(
            LiveComment(account=SHOP, person=PERSON, source_id="1", at_ms=now_ms(), text="hi", username="maria.example")
        )

    assert texts(play(scenario)) == ["Hi"]
    assert Event.objects.get().outcome == "sent"


# --- Meta's windows, before the call ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (message(at_ms=now_ms() - 23 * HOUR_MS), "sent"),
        (message(at_ms=now_ms() - 25 * HOUR_MS), "skipped"),
        (message(at_ms=1569262485349), "sent"),  # 2019: no delivery of Meta's, so its stamp is not believed
        (message(at_ms=now_ms() + 10 * HOUR_MS), "sent"),
        (comment(at_ms=now_ms() - 6 * 24 * HOUR_MS), "sent"),
        (comment(at_ms=now_ms() - 8 * 24 * HOUR_MS), "skipped"),
        (LiveComment(account=SHOP, person=PERSON, source_id="1", at_ms=now_ms() - 3 * HOUR_MS, text="LINK"), "sent"),
        (LiveComment(account=SHOP, person=PERSON, source_id="1", at_ms=now_ms() - 5 * HOUR_MS, text="LINK"), "skipped"),
    ],
)
def test_nothing_is_sent_when_metas_window_has_closed(play, event, outcome):
    async def scenario(graph, answer):
        await answer(event)

    graph = play(scenario)

    row = Event.objects.get()
    assert row.outcome == outcome
    assert bool(graph.received) == (outcome == "sent")
    if outcome == "skipped":
        assert "closed" in row.reason
        assert Delivery.objects.get().status == "skipped"


def test_its_end_is_counted_by_outcome_and_why_in_few_words(play, redis):
    given_up = Failure(dead=True, at=datetime.now(UTC), reason="KeyError: 'x'", attempt=3)

    async def scenario(graph, answer):
        await answer(message(source_id="mid.1", at_ms=now_ms() - 25 * HOUR_MS))
        await answer(message(source_id="mid.2"))
        await answer(comment(username="demo.shop"))
        await tasks.note_failure({"kind": "of another version"}, {}, given_up)

    play(scenario)
    metrics.flush()

    counted = {name.removeprefix("n:outcome:"): n for name, n in metrics.totals(redis).items() if "outcome:" in name}
    assert counted == {"skipped:window_closed": 1, "sent": 1, "skipped:own_comment": 1, "dead:bug": 1}


def test_an_event_that_waited_too_long_in_its_lane_is_skipped(play):
    async def scenario(graph, answer):
        await answer(message(at_ms=1), received_at=datetime.now(UTC) - timedelta(hours=25))

    assert texts(play(scenario)) == []
    assert Event.objects.get().outcome == "skipped"


@pytest.mark.parametrize(("hours", "outcome"), [(None, "skipped"), (1, "sent"), (30, "skipped")])
def test_who_comments_gets_a_direct_message_only_if_they_wrote_within_a_day(play, demo_data, hours, outcome):
    rule(actions=[{"type": "dm", "text": "Hello again"}])

    async def scenario(graph, answer):
        if hours is not None:
            await answer(message("nice", at_ms=now_ms() - hours * HOUR_MS))
        await answer(comment(text="anything"))

    play(scenario)
    assert Event.objects.get(kind="comment").outcome == outcome


def test_a_private_reply_that_is_too_long_is_refused_and_the_public_one_is_not_sent(play, demo_data):
    rule(
        actions=[
            {"type": "private_reply", "text": "ä" * 480 + "{{text}}"},
            {"type": "public_reply", "texts": ["Sent you a DM!"]},
        ]
    )

    async def scenario(graph, answer):
        await answer(comment(text="ö" * 150))

    assert texts(play(scenario)) == []
    event = Event.objects.get()
    assert event.outcome == "skipped"
    assert "1000" in event.reason.replace(",", "")


# --- Nothing twice ---------------------------------------------------------------------------------------------------


def test_a_redelivery_of_an_event_that_is_over_is_a_duplicate(play):
    async def scenario(graph, answer):
        assert await answer(message(), receipt="first") is Done.COMPLETED
        assert await answer(message(at_ms=now_ms() + 5), receipt="second") is Done.DUPLICATE

    assert texts(play(scenario)) == [OFFER]


def test_a_job_that_runs_again_after_its_end_was_written_counts_as_completed(play):
    async def scenario(graph, answer):
        assert await answer(message(), receipt="first") is Done.COMPLETED
        assert await answer(message(), receipt="first") is Done.COMPLETED

    assert texts(play(scenario)) == [OFFER]


def test_a_step_that_was_cut_off_during_its_call_is_unconfirmed_and_not_sent_again(play, rows):
    async def scenario(graph, answer):
        await answer(comment(), receipt="r")
        # As after a kill between the call and its confirmation.
        await rows(lambda: Delivery.objects.filter(step=1).update(status="sending"))
        await rows(lambda: Delivery.objects.filter(step=2).delete())
        await rows(lambda: Event.objects.update(outcome="processing"))
        await answer(comment(), receipt="r")

    graph = play(scenario)

    assert [call.kind for call in graph.received] == ["private_reply", "public_reply", "public_reply"]
    assert Event.objects.get().outcome == "unconfirmed"
    assert Delivery.objects.get(step=1).status == "unconfirmed"


@pytest.mark.parametrize("fault", ["reset_after_recording", "error500", "already_replied"])
def test_a_call_that_may_have_been_delivered_is_unconfirmed_and_not_sent_again(play, fault):
    async def scenario(graph, answer):
        graph.script(fault, times=1)
        await answer(message(), receipt="r")
        await answer(message(), receipt="r")

    graph = play(scenario)

    assert len(graph.received) <= 1
    assert Event.objects.get().outcome == "unconfirmed"


@override_settings(GRAPH_READ_TIMEOUT_SECONDS=0.05)
def test_a_call_that_is_never_answered_is_unconfirmed(play):
    async def scenario(graph, answer):
        graph.script("hang")
        await answer(message())

    play(scenario)
    assert Delivery.objects.get().status == "unconfirmed"


def test_one_private_reply_per_comment_ever_whoever_asks(play, demo_data):
    async def scenario(graph, answer):
        await answer(comment(source_id="1001"))
        await answer(LiveComment(account=SHOP, person=PERSON, source_id="1001", at_ms=now_ms(), text="LINK"))

    graph = play(scenario)

    assert [call.kind for call in graph.received] == ["private_reply", "public_reply"]
    assert Event.objects.get(kind="live_comment").reason == "This comment already has its one private reply."


# --- What Meta refuses -----------------------------------------------------------------------------------------------


def test_a_passing_error_is_tried_again_and_sent_once(play):
    async def scenario(graph, answer):
        graph.script("transient1", times=1)
        with pytest.raises(TryAgain):
            await answer(message(), receipt="r")
        await answer(message(), receipt="r")

    graph = play(scenario)

    assert [call.status for call in graph.received][-1] == 200
    assert (Delivery.objects.get().status, Event.objects.get().outcome) == ("sent", "sent")


def test_a_later_attempt_sends_only_the_steps_that_were_not_sent(play):
    async def scenario(graph, answer):
        graph.script("transient1", times=1, kind="public_reply")
        with pytest.raises(TryAgain):
            await answer(comment(), receipt="r")
        await answer(comment(), receipt="r")

    sent = [call.kind for call in play(scenario).received if call.status == 200]
    assert sent == ["private_reply", "public_reply"]


def test_a_later_attempt_goes_on_with_the_rule_that_was_begun(play, rows, demo_data):
    async def scenario(graph, answer):
        graph.script("transient1", times=1, kind="public_reply")
        with pytest.raises(TryAgain):
            await answer(comment(), receipt="r")
        await rows(
            lambda: rule(name="Newer", priority=99, actions=[{"type": "private_reply", "text": "Something else"}])
        )
        await answer(comment(), receipt="r")

    assert "Something else" not in texts(play(scenario))
    assert Event.objects.get().outcome == "sent"


@pytest.mark.parametrize(
    "removed",
    [
        Automation.objects.filter(account__instagram_id=SHOP, name="Comment link"),
        Account.objects.filter(instagram_id=SHOP),
    ],
    ids=["rule", "account"],
)
def test_an_event_whose_rule_was_removed_halfway_comes_to_its_end(play, rows, removed):
    async def scenario(graph, answer):
        graph.script("transient1", times=1, kind="public_reply")
        with pytest.raises(TryAgain):
            await answer(comment(), receipt="r")
        await rows(removed.delete)
        assert await answer(comment(), receipt="r") is Done.COMPLETED

    graph = play(scenario)

    assert [call.kind for call in graph.received if call.status == 200] == ["private_reply"]
    event = Event.objects.get()
    assert event.outcome == "sent"
    assert "removed" in event.reason


def test_a_refusal_for_good_is_rejected_with_metas_reason(play):
    async def scenario(graph, answer):
        graph.script("blocked")
        with pytest.raises(Reject) as refusal:
            await answer(message())
        assert refusal.value.cause.code == 551

    play(scenario)
    assert Delivery.objects.get().status == "failed"


@pytest.mark.parametrize(("act", "outcome"), [(deadletters.retry, "waiting"), (deadletters.discard, "discarded")])
def test_what_an_operator_does_with_a_dead_letter_shows_on_its_event(play, act, outcome):
    event = message()
    args: list[Any] = [event.as_payload(), {"id": "r", "at": datetime.now(UTC).isoformat()}]
    failure = Failure(dead=True, at=datetime.now(UTC), reason="Meta refused the call", attempt=3)

    async def scenario(graph, answer):
        await tasks.note_failure(args[0], args[1], failure)

    play(scenario)
    assert Event.objects.get().outcome == "dead"
    deadletters.write(event.key, "automations.tasks.process_event", "high", args, failure, Reject("Meta refused"))

    act(DeadLetter.objects.all())

    assert Event.objects.get().outcome == outcome


def test_an_expired_token_stops_the_account_until_its_owner_acts(play):
    async def scenario(graph, answer):
        graph.script("expired_token", times=1)
        with pytest.raises(Reject) as refusal:
            await answer(message())
        assert (refusal.value.cause.code, refusal.value.cause.subcode) == (190, 463)
        with pytest.raises(RetryLater):
            await answer(message(source_id="mid.2"))

    graph = play(scenario)

    assert len(graph.received) == 1
    assert Account.objects.get(instagram_id=SHOP).status == "needs_owner"


def test_throttling_makes_the_account_wait_as_long_as_meta_says_and_no_other(play):
    studio = Message(account="17841405726653026", person=PERSON, source_id="mid.9", at_ms=None, text="LINK")

    async def scenario(graph, answer):
        graph.script("throttle", minutes=7, account=SHOP)
        with pytest.raises(RetryLater) as later:
            await answer(message())
        assert later.value.after == 7 * 60
        with pytest.raises(RetryLater):
            await answer(message(source_id="mid.2"))
        await answer(studio)

    graph = play(scenario)

    assert [call.account for call in graph.received] == [SHOP, "17841405726653026"]
    assert Account.objects.get(instagram_id=SHOP).paused_until > timezone.now() + timedelta(minutes=6)


def test_an_account_that_was_released_sends_again(play, rows):
    async def scenario(graph, answer):
        await rows(lambda: pause("needs_owner"))
        with pytest.raises(RetryLater):
            await answer(message(), receipt="r")
        await rows(lambda: pause("active"))
        await answer(message(), receipt="r")

    def pause(status):
        account = Account.objects.get(instagram_id=SHOP)
        account.status = status
        account.save(update_fields=["status"])

    assert texts(play(scenario)) == [OFFER]


def test_people_are_known_per_account_by_their_latest_name(play):
    async def scenario(graph, answer):
        await answer(comment("nice", source_id="1", username="maria.old"))
        await answer(comment("nice", source_id="2", username="maria.example"))
        await answer(message("nice"))

    play(scenario)
    assert Contact.objects.get().username == "maria.example"
