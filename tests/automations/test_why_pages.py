"""“Why did this message (not) go out?” in the console: one sentence first, then every station with what it found."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from automations import demo, story
from automations.events import Comment
from automations.models import Account, Event
from automations.pipeline import CUT_OFF
from automations.redaction import without_text
from automations.task_paths import PROCESS_EVENT
from queueops import dispatch, switches
from queueops.jobs import Batch, Job, Lane
from queueops.models import DeadLetter
from queueops.privacy import HIDDEN
from tests.automations.rows import ACCOUNT, account, automation, delivery, event
from tests.people import person, superuser
from webhooks import routing

WHY = "/admin/automations/event/why/"
LOOKS = [
    {
        "automation": "a1",
        "name": "Other rule",
        "matched": False,
        "failed": {"condition": "keyword", "expected": ["hello"], "seen": "lnik please"},
    },
    {
        "automation": "a2",
        "name": "Link rule",
        "matched": False,
        "failed": {"condition": "keyword", "expected": ["link", "price"], "seen": "lnik please"},
    },
    {
        "automation": "a3",
        "name": "Post rule",
        "matched": False,
        "failed": {"condition": "post", "expected": "1790", "seen": "1791"},
    },
]
NEAREST = "The nearest was “Link rule”: keyword expected link, price; seen “lnik please”."


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


def page(client, row: Event) -> Any:
    """What the page of the event was made of."""
    answer = client.get(f"/admin/automations/event/{row.pk}/change/")
    assert answer.status_code == 200
    return answer.context


def stations(context) -> dict[str, story.Station]:
    return {one.name: one for one in [*context["until_the_rules"], *context["until_the_call"]]}


@pytest.mark.django_db
@pytest.mark.usefixtures("redis")
class TestThePageOfAnEvent:
    def test_the_answer_names_the_rule_that_came_nearest(self, admin):
        row = event(rules=LOOKS)
        account()

        assert page(admin, row)["answer"] == f"Not sent: no rule matched. {NEAREST}"

    def test_somebody_who_may_not_see_text_is_told_why_all_the_same(self, client):
        client.force_login(person("automations.view_event"))
        row = event(rules=LOOKS, text="lnik please")

        answer = client.get(f"/admin/automations/event/{row.pk}/change/")

        assert f"keyword expected hello; seen {HIDDEN}" in answer.context["answer"]
        assert answer.context["original"].rules == without_text(LOOKS)
        assert "lnik" not in answer.content.decode()

    @pytest.mark.parametrize(
        ("fields", "begins"),
        [
            ({"outcome": "skipped", "reason": "The account's own comment."}, "Not sent: The account's own comment."),
            ({"outcome": "no_match"}, "Not sent: the account has no active rule for this kind of event (comment)."),
            ({"outcome": "unknown_account"}, f"Not sent: no account with the id {ACCOUNT}"),
            ({"outcome": "unconfirmed", "reason": CUT_OFF["title"]}, "Perhaps sent: nobody knows"),
            ({"outcome": "dead", "reason": "Meta refused."}, "Not sent: given up after 0 failed attempts. Meta"),
            ({"outcome": "discarded", "reason": "Meta refused."}, "Not sent: it had failed, and an operator discarded"),
            ({"outcome": "waiting"}, "Not sent yet: it waits in lane low"),
            ({"outcome": "processing"}, "Not sent yet: a worker has had it"),
            ({"outcome": "retrying", "reason": "Meta is away."}, "Not sent yet: Meta is away. Next attempt soon."),
            ({"outcome": "sent"}, "Sent: its answer."),
        ],
    )
    def test_every_outcome_has_its_sentence(self, admin, fields, begins):
        assert page(admin, event(**fields))["answer"].startswith(begins)

    def test_what_was_sent_is_told_with_when_and_what_did_not_go(self, admin):
        row = event(outcome="sent", reason="The comment was deleted.")
        delivery(row, status="sent", finished_at=timezone.now())
        delivery(row, step=2, kind="public_reply", status="failed", error={"title": "gone", "code": 100, "subcode": 33})

        context = page(admin, row)

        assert context["answer"].startswith("Sent: private reply, at 20")
        assert context["answer"].endswith("1 of 2 steps did not go: The comment was deleted.")
        assert [one.meaning.numbers for one in context["tried"] if one.meaning] == ["100/33"]

    def test_metas_answer_is_translated_on_the_page(self, admin):
        row = event(outcome="dead")
        error = {"title": "t", "message": "Error validating access token", "code": 190, "subcode": 463}
        delivery(row, status="failed", error={**error, "verdict": "needs_owner"})

        text = admin.get(f"/admin/automations/event/{row.pk}/change/").content.decode()

        assert "Error validating access token" in text
        assert "Tokens live for 60 days" in text
        assert "the account&#x27;s owner" in text

    def test_metas_answer_is_translated_on_the_deliverys_own_page(self, admin):
        refused = delivery(event(), status="failed", error={"title": "t", "code": 506, "verdict": "reject"})
        skipped = delivery(event("k2"), status="skipped", error={"title": "too late", "verdict": "reject"})
        address = "/admin/automations/delivery/{}/change/"

        assert "several public replies" in admin.get(address.format(refused.pk)).content.decode()
        assert "Who must act" not in admin.get(address.format(skipped.pk)).content.decode()

    def test_the_account_is_shown_as_it_stands_now(self, admin):
        row = event()
        assert stations(page(admin, row))["Account"].state == story.BAD
        shop = account()
        shop.created_at = row.received_at - timedelta(days=1)
        shop.save()
        assert stations(page(admin, row))["Account"].state == story.GOOD
        for change, words in (
            ({"status": "needs_owner", "status_reason": "token expired"}, "needs its owner: token expired"),
            ({"status": "paused", "status_reason": "campaign"}, "is paused: campaign"),
            ({"status": "active", "paused_until": timezone.now() + timedelta(hours=1)}, "waits until"),
        ):
            Account.objects.update(**change)
            found = stations(page(admin, row))["Account"]
            assert words in found.words
            assert found.state in (story.BAD, story.WARN)

    def test_a_window_that_has_closed_is_where_it_stopped(self, admin):
        account()
        row = event(kind="message", person="77", outcome="skipped", received_at=timezone.now() - timedelta(days=2))
        row.happened_at = row.received_at
        row.save()

        window = stations(page(admin, row))["Window for a direct message"]

        assert window.state == story.BAD
        assert "24-hour window closed" in window.words

    def test_a_wait_for_a_limit_is_told_with_its_times(self, admin):
        account()
        now = timezone.now()
        attempt = {
            "at": now.isoformat(),
            "attempt": 1,
            "result": "The account's limit of 750 private replies an hour is reached; its turn is at 12:04 UTC.",
            "retry_at": (now + timedelta(minutes=5)).isoformat(),
        }
        row = event(outcome="retrying", reason=attempt["result"], attempts=[attempt, attempt])

        context = page(admin, row)

        assert "put off 2 times" in stations(context)["Limits"].words
        assert context["next_steps"][0].startswith(f"It is tried again at {now + timedelta(minutes=5):%Y-%m-%d %H:%M}")
        assert "its window closes" in context["next_steps"][-1]

    def test_a_dead_one_leads_to_its_letter(self, admin):
        row = event(outcome="dead")
        letter = DeadLetter.objects.create(
            event=row.key,
            func="f",
            payload={},
            lane="low",
            error="Meta refused",
            cause_code=551,
            cause_verdict="reject",
        )

        answer = admin.get(f"/admin/automations/event/{row.pk}/change/")

        assert answer.context["next_steps"] == ["An operator must retry or discard its dead letter."]
        assert f"/admin/queueops/deadletter/{letter.pk}/change/" in answer.content.decode()
        assert "takes no messages" in answer.content.decode()

    def test_a_page_takes_a_bounded_number_of_queries(self, admin, django_assert_max_num_queries):
        rule = automation(account())
        row = event(outcome="sent", automation=rule, rules=LOOKS)
        for step in range(1, 10):
            delivery(row, step=step, automation=rule, status="sent")

        with django_assert_max_num_queries(16):
            page(admin, row)


@pytest.mark.parametrize(
    ("kind", "lane", "why"),
    [
        ("comment", "low", "Where every comment waits."),
        ("comment", "default", "a VIP."),
        ("story_reply", "default", "Where every story reply waits."),
        ("story_reply", "high", "a VIP."),
        ("message", "high", "Where every message waits."),
        ("message", "low", "by the flood limit (QUEUE_MAX_WEBHOOKS_PER_MINUTE)."),
        ("message", "default", "flood limit (QUEUE_MAX_WEBHOOKS_PER_MINUTE), then one lane up for its VIP workspace."),
        ("echo", "default", "default."),
        ("comment", "", "Not known."),
    ],
)
def test_the_lane_is_told_with_why(kind, lane, why):
    assert story.lane(kind, lane, None, None).words.endswith(why)


def test_the_usual_lanes_are_those_of_the_routing():
    assert story.USUAL_LANES == routing.LANES


@pytest.mark.usefixtures("demo_data")
class TestOneThatStillWaits:
    @pytest.fixture
    def comment(self):
        one = Comment(account=next(iter(demo.ACCOUNTS)), person="77", source_id="c_waits", at_ms=None, text="link")
        job = Job(id=one.key, lane=Lane.LOW, func=PROCESS_EVENT, payload=one.as_payload(), tenant=one.account)
        dispatch.dispatch_sync(Batch(jobs=(job,)))
        return one

    def test_it_has_a_page_that_says_where_and_what_holds_it_up(self, admin, comment):
        switches.pause(Lane.LOW, "campaign over", "ada")
        try:
            answer = admin.get(WHY, {"q": "c_waits"}, follow=True)
        finally:
            switches.resume(Lane.LOW)

        assert answer.redirect_chain[-1][0] == f"/admin/automations/event/by-key/{comment.key}/"
        text = answer.content.decode()
        assert "It waits in lane low, and is the next of it." in text
        assert "The lane is paused by ada" in text
        assert "@demo.shop is connected and active" in text

    def test_it_is_nobodys_business_who_may_not_see_events(self, client, comment):
        client.force_login(person())

        for address in (f"{WHY}?q=c_waits", f"/admin/automations/event/by-key/{comment.key}/"):
            assert client.get(address).status_code == 403


@pytest.mark.django_db
@pytest.mark.usefixtures("redis")
class TestTheSearch:
    def test_it_opens_empty_and_answers_nonsense(self, admin):
        for query in ({}, {"q": ""}, {"q": "x" * 5000}, {"q": "%_\\'\""}, {"at": "yesterday"}, {"within": "7"}):
            assert admin.get(WHY, query).status_code == 200

    def test_one_hit_leads_to_its_page(self, admin):
        row = event("k1")

        answer = admin.get(WHY, {"q": "https://www.instagram.com/p/CyZ/c/c_k1/"})

        assert answer["Location"] == f"/admin/automations/event/{row.pk}/change/"

    def test_many_are_listed_each_with_its_answer(self, admin):
        event("k1", rules=LOOKS)
        event("k2", outcome="skipped", reason="The account's own comment.")

        answer = admin.get(WHY, {"q": ACCOUNT})

        assert [line.answer for line in answer.context["lines"]] == [
            "Not sent: The account's own comment.",
            f"Not sent: no rule matched. {NEAREST}",
        ]
        assert "nice &lt;b&gt;pic" in answer.content.decode()

    def test_the_list_hides_what_people_wrote_from_those_who_may_not_see_it(self, client):
        client.force_login(person("automations.view_event"))
        event("k1", rules=LOOKS)
        event("k2", text="private words")

        text = client.get(WHY, {"q": ACCOUNT}).content.decode()

        assert "no rule matched" in text
        for private in ("lnik", "private words", "nice"):
            assert private not in text

    def test_a_time_is_taken_as_the_browser_writes_it(self, admin):
        row = event("k1")
        at = row.received_at.strftime("%Y-%m-%dT%H:%M")

        assert admin.get(WHY, {"at": at, "within": "10"})["Location"].endswith(f"/{row.pk}/change/")
        assert "None was received in this time" in admin.get(WHY, {"at": "2020-01-01T10:00"}).content.decode()

    def test_of_nothing_is_told_what_that_means(self, admin):
        text = admin.get(WHY, {"q": "18674032191159040"}).content.decode()

        for words in ("Nothing was found", "Waiting in lanes", "Unusable bodies", "webhooks_refused_total"):
            assert words in text

    def test_it_is_first_of_what_happened_in_the_navigation(self, admin):
        text = admin.get("/admin/").content.decode()

        assert text.index(WHY) < text.index('/admin/automations/event/"')
