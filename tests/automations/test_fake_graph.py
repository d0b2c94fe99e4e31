"""The fake Graph API answers as Meta does, keeps what it received, and fails on request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from django.test import override_settings

from automations.fake_graph import FakeGraph
from automations.fake_graph.faults import FAULTS, Script
from automations.graph import GraphClient, GraphError
from automations.graph_errors import Verdict

ACCOUNT, PERSON, COMMENT = "17841456778752687", "8422491661125971", "17919697626119712"
DM = {"recipient": {"id": PERSON}, "message": {"text": "Hello"}}
PRIVATE_REPLY = {"recipient": {"comment_id": COMMENT}, "message": {"text": "Here"}}
MESSAGES = f"/v25.0/{ACCOUNT}/messages"
DAY = 24 * 3600


class Caller:
    """Calls the fake as anybody may, not only as our client does."""

    def __init__(self, fake: FakeGraph, session: aiohttp.ClientSession) -> None:
        self.fake = fake
        self.session = session

    async def __call__(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.fake.url + path, **options) as response:
            return response.status, await response.json(content_type=None)

    async def post(self, path: str, body: Any, token: str = "demo-token") -> tuple[int, Any]:
        return await self("POST", path, json=body, headers={"Authorization": f"Bearer {token}"})

    async def refusal(self, path: str, body: Any) -> tuple[int, int, int]:
        """(HTTP status, code, subcode) of a call that must not succeed."""
        status, answer = await self.post(path, body)
        return status, answer["error"]["code"], answer["error"].get("error_subcode", 0)


def run(scenario: Callable[[Caller], Awaitable[Any]], **options: Any) -> Any:
    async def main() -> Any:
        fake = FakeGraph(**options)
        await fake.start()
        try:
            async with aiohttp.ClientSession() as session:
                return await scenario(Caller(fake, session))
        finally:
            await fake.stop()

    return asyncio.run(main())


def test_a_message_is_answered_with_both_ids_and_kept():
    async def scenario(call):
        return await call.post(MESSAGES, DM), list(call.fake.received)

    (status, answer), [kept] = run(scenario)

    assert (status, answer) == (200, {"recipient_id": PERSON, "message_id": kept.message_id})
    assert 150 <= len(kept.message_id) <= 200
    assert (kept.account, kept.kind, kept.recipient, kept.text) == (ACCOUNT, "dm", PERSON, "Hello")
    assert (kept.path, kept.body, kept.status) == (MESSAGES, DM, 200)
    assert abs(kept.at - time.time()) < 60


def test_a_public_reply_is_answered_with_its_id():
    async def scenario(call):
        return await call.post(f"/v25.0/{COMMENT}/replies", {"message": "Sent you a DM!"}), list(call.fake.received)

    (status, answer), [kept] = run(scenario)

    assert (status, answer) == (200, {"id": kept.message_id})
    assert kept.message_id.isdecimal()
    assert (kept.kind, kept.recipient, kept.text) == ("public_reply", COMMENT, "Sent you a DM!")


def test_every_message_gets_an_id_of_its_own():
    async def scenario(call):
        return {(await call.post(MESSAGES, DM))[1]["message_id"] for _ in range(5)}

    assert len(run(scenario)) == 5


def test_me_stands_for_the_account():
    async def scenario(call):
        return await call.post("/v25.0/me/messages", DM)

    assert run(scenario)[0] == 200


def buttons(count: int, text: str = "Choose", title: str = "Open") -> dict[str, Any]:
    button = {"type": "web_url", "url": "https://example.com", "title": title}
    payload = {"template_type": "button", "text": text, "buttons": [button] * count}
    return {"attachment": {"type": "template", "payload": payload}}


def quick_replies(count: int, title: str = "Yes") -> dict[str, Any]:
    return {"text": "?", "quick_replies": [{"content_type": "text", "title": title, "payload": "P"}] * count}


@pytest.mark.parametrize(
    "message",
    [
        {"text": "a" * 1000},
        {"text": "ä" * 500},
        quick_replies(13),
        quick_replies(1, "t" * 20),
        buttons(3),
        {"attachment": {"type": "template", "payload": {"template_type": "generic", "elements": [{"title": "A"}]}}},
        {"attachments": {"type": "image", "payload": {"url": "https://example.com/a.png"}}},
    ],
)
def test_it_accepts_what_meta_accepts(message):
    async def scenario(call):
        return await call.post(MESSAGES, {"recipient": {"id": PERSON}, "message": message})

    assert run(scenario)[0] == 200


@pytest.mark.parametrize(
    ("body", "code", "subcode"),
    [
        ([], 100, 0),
        ({}, 100, 0),
        ({"message": {"text": "a"}}, 100, 0),
        ({"recipient": {}, "message": {"text": "a"}}, 100, 0),
        ({"recipient": "x", "message": {"text": "a"}}, 100, 0),
        ({"recipient": {"id": PERSON, "comment_id": COMMENT}, "message": {"text": "a"}}, 100, 0),
        ({"recipient": {"id": 8422491661125971}, "message": {"text": "a"}}, 100, 0),
        ({"recipient": {"id": ""}, "message": {"text": "a"}}, 100, 0),
        ({"recipient": {"id": PERSON}}, 100, 0),
        ({"recipient": {"id": PERSON}, "sender_action": "typing_on", "message": {"text": "a"}}, 100, 2018014),
        *(
            ({"recipient": {"id": PERSON}, "message": message}, 100, 2534015)
            for message in (
                {},
                {"text": ""},
                {"text": 7},
                {"text": "a" * 1001},
                {"text": "ä" * 501},
                quick_replies(14),
                quick_replies(1, "t" * 21),
                {"text": "a", "quick_replies": ["Yes"]},
                {"text": "a", "quick_replies": "Yes"},
                buttons(0),
                buttons(4),
                buttons(1, text="a" * 641),
                buttons(1, title=""),
                {"attachment": {"type": "template"}},
            )
        ),
    ],
)
def test_it_refuses_what_meta_refuses(body, code, subcode):
    async def scenario(call):
        return await call.refusal(MESSAGES, body), [kept.status for kept in call.fake.received]

    assert run(scenario) == ((400, code, subcode), [400])


def test_a_call_without_a_token_gets_190():
    async def scenario(call):
        status, answer = await call("POST", MESSAGES, json=DM)
        return status, answer["error"]["code"]

    assert run(scenario) == (401, 190)


def test_a_body_that_is_no_json_is_refused():
    async def scenario(call):
        return await call("POST", MESSAGES, data=b"\xff{", headers={"Authorization": "Bearer t"})

    status, answer = run(scenario)
    assert (status, answer["error"]["code"]) == (400, 100)


@pytest.mark.parametrize("path", ["/", "/v25.0/messages", "/v25.0/1/likes", "/v25.0/1/2/messages"])
def test_unknown_paths_are_refused(path):
    async def scenario(call):
        return await call.refusal(path, DM)

    assert run(scenario) == (400, 2500, 0)


def test_asking_for_fields_posts_the_comment_and_then_fails_as_at_meta():
    async def scenario(call):
        refusal = await call.refusal(f"/v25.0/{COMMENT}/replies?fields=id", {"message": "Hi"})
        return refusal, [bool(kept.message_id) for kept in call.fake.received]

    assert run(scenario) == ((400, 20, 1772107), [True])


def test_asking_a_message_for_fields_is_refused_unsent():
    async def scenario(call):
        refusal = await call.refusal(f"{MESSAGES}?fields=id", DM)
        return refusal, [bool(kept.message_id) for kept in call.fake.received]

    assert run(scenario) == ((400, 100, 0), [False])


def test_a_comment_takes_one_private_reply_ever():
    async def scenario(call):
        return (
            (await call.post(MESSAGES, PRIVATE_REPLY))[0],
            await call.refusal(MESSAGES, PRIVATE_REPLY),
            await call.refusal("/v25.0/17841405726653026/messages", PRIVATE_REPLY),
            (await call.post(MESSAGES, PRIVATE_REPLY | {"recipient": {"comment_id": "1"}}))[0],
        )

    assert run(scenario) == (200, (400, 100, 2534025), (400, 100, 2534025), 200)


def test_a_refused_private_reply_leaves_the_comment_free():
    async def scenario(call):
        call.fake.script("throttle", times=1)
        return [(await call.post(MESSAGES, PRIVATE_REPLY))[0] for _ in range(2)]

    assert run(scenario) == [429, 200]


def ago(seconds: float) -> float:
    return time.time() - seconds


@pytest.mark.parametrize(
    ("at", "status"),
    [
        (None, 200),
        (lambda: ago(DAY - 60), 200),
        (lambda: ago(DAY + 60), 400),
        (lambda: ago(DAY + 60) * 1000, 400),
        (lambda: "2020-01-31T12:00:00Z", 400),
        (lambda: "2020-01-31T12:00:00", 400),
    ],
)
@pytest.mark.parametrize("path", [MESSAGES, "/v25.0/me/messages"])
def test_a_person_may_be_written_to_for_24_hours(at, status, path):
    async def scenario(call):
        told = {"account": ACCOUNT, "person": PERSON, "at": at and at()}
        assert (await call("POST", "/_fake/inbound", json=told))[0] == 204
        return (await call.post(path, DM))[0]

    assert run(scenario, strict_window=True) == status


def test_the_newest_message_opens_the_window_in_whatever_order_they_are_told():
    async def scenario(call):
        for at in (ago(60), ago(DAY * 2)):
            await call("POST", "/_fake/inbound", json={"account": ACCOUNT, "person": PERSON, "at": at})
        return (await call.post(MESSAGES, DM))[0]

    assert run(scenario) == 200


@pytest.mark.parametrize(("strict", "status"), [(True, 400), (False, 200)])
def test_people_nobody_told_of_are_refused_only_when_strict(strict, status):
    async def scenario(call):
        return (await call.post(MESSAGES, DM))[0], (await call.post(MESSAGES, PRIVATE_REPLY))[0]

    assert run(scenario, strict_window=strict) == (status, 200)


VERDICTS = {
    "throttle": (429, Verdict.WAIT),
    "app_throttle": (429, Verdict.WAIT),
    "expired_token": (400, Verdict.NEEDS_OWNER),
    "outside_window": (400, Verdict.REJECT),
    "blocked": (400, Verdict.REJECT),
    "already_replied": (400, Verdict.PROBABLY_SENT),
    "transient1": (500, Verdict.RETRY),
    "transient2": (500, Verdict.RETRY),
    "error500": (500, Verdict.PROBABLY_SENT),
    "reset_before": (None, Verdict.PROBABLY_SENT),
    "reset_after_recording": (200, Verdict.PROBABLY_SENT),
    "hang": (200, Verdict.PROBABLY_SENT),
}


def test_every_fault_is_in_the_table_above():
    assert set(VERDICTS) == set(FAULTS)


@pytest.mark.parametrize("fault", VERDICTS)
def test_each_fault_is_recorded_as_promised_and_read_as_it_should_be(fault):
    async def scenario(call):
        call.fake.script(fault, times=1, minutes=3)
        with override_settings(GRAPH_API_URL=call.fake.url, GRAPH_READ_TIMEOUT_SECONDS=0.1):
            graph = GraphClient()
        with pytest.raises(GraphError) as caught:
            await graph.send(f"{ACCOUNT}/messages", DM, "demo-token")
        kept = [(kept.status, kept.fault) for kept in call.fake.received]
        after = await graph.send(f"{ACCOUNT}/messages", DM, "demo-token")
        await graph.close()
        return kept, caught.value, after

    kept, error, after = run(scenario)

    status, verdict = VERDICTS[fault]
    assert kept == ([] if status is None else [(status, fault)])
    assert error.verdict == verdict
    assert after.message_id
    assert (error.wait_seconds == 180) == (fault == "throttle")


@pytest.mark.parametrize(
    ("match", "hit"),
    [
        ({"account": ACCOUNT}, True),
        ({"account": "1"}, False),
        ({"recipient": PERSON}, True),
        ({"recipient": "1"}, False),
        ({"kind": "dm"}, True),
        ({"kind": "private_reply"}, False),
        ({"text_contains": "ell"}, True),
        ({"text_contains": "bye"}, False),
        ({"kind": "dm", "recipient": "1"}, False),
    ],
)
def test_a_fault_meets_the_calls_it_is_for(match, hit):
    async def scenario(call):
        call.fake.script("blocked", **match)
        return (await call.post(MESSAGES, DM))[0]

    assert run(scenario) == (400 if hit else 200)


def test_the_first_fault_that_fits_wins_and_ends_after_its_times():
    async def scenario(call):
        call.fake.script("blocked", times=2)
        call.fake.script("throttle", times=1)
        return [(await call.post(MESSAGES, DM))[0] for _ in range(5)]

    assert run(scenario) == [400, 400, 429, 200, 200]


def test_a_fault_may_come_by_chance():
    async def scenario(call):
        call.fake.script("blocked", probability=0.5)
        return {(await call.post(MESSAGES, DM))[0] for _ in range(40)}

    assert run(scenario, seed=1) == {200, 400}


def test_faults_can_be_ordered_and_ended_while_it_runs():
    async def scenario(call):
        order = [{"fault": "throttle", "match": {"kind": "dm"}, "times": 3, "probability": 1, "minutes": 5}]
        listed = await call("POST", "/_fake/faults", json=order)
        during = await call("GET", "/_fake/faults")
        hit = (await call.post(MESSAGES, DM))[0]
        await call("DELETE", "/_fake/faults")
        return order, listed, during, hit, (await call.post(MESSAGES, DM))[0]

    order, listed, during, hit, after = run(scenario)

    assert listed == during == (200, order)
    assert (hit, after) == (429, 200)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"fault": "throttle"}, "must be a list"),
        ([1], "must be an object"),
        ([{"fault": "nonsense"}], "unknown fault 'nonsense': use one of throttle"),
        ([{"fault": "hang", "match": {"colour": "red"}}], "unknown match colour: use account"),
        ([{"fault": "hang", "every": 3}], "unknown key every"),
        ([{"fault": "hang", "times": "many"}], "invalid literal"),
        ([{"fault": "hang", "times": [3]}], "whole numbers"),
        ([{"fault": "hang", "probability": 2}], "between 0 and 1"),
    ],
)
def test_a_wrong_order_is_refused_with_the_reason(order, said):
    async def scenario(call):
        return await call("POST", "/_fake/faults", json=order), call.fake.scripts

    (status, answer), scripts = run(scenario)

    assert status == 400
    assert said in answer["error"]
    assert scripts == []


@pytest.mark.parametrize("told", [{}, {"account": "1"}, [], {"account": "1", "person": "2", "at": "yesterday"}])
def test_a_wrong_word_about_inbound_messages_is_refused(told):
    async def scenario(call):
        return await call("POST", "/_fake/inbound", json=told)

    assert run(scenario)[0] == 400


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("hang", Script("hang")),
        ("throttle:times=3,kind=dm", Script("throttle", {"kind": "dm"}, times=3)),
        ("blocked: probability=0.1, text_contains=hi", Script("blocked", {"text_contains": "hi"}, probability=0.1)),
        ("throttle:minutes=19", Script("throttle", minutes=19)),
    ],
)
def test_a_fault_can_be_written_in_one_word(text, script):
    assert Script.from_text(text) == script


def test_the_list_of_what_was_received_is_json_and_can_be_emptied():
    async def scenario(call):
        for text in ("one", "two"):
            await call.post(MESSAGES, {"recipient": {"id": PERSON}, "message": {"text": text}})
        listed = await call("GET", "/_fake/received")
        stats = await call("GET", "/_fake/stats")
        await call("DELETE", "/_fake/received")
        return listed, stats, await call("GET", "/_fake/received"), await call("GET", "/_fake/stats")

    (_, listed), stats, emptied, no_stats = run(scenario)

    assert [item["text"] for item in listed] == ["one", "two"]
    expected = {"at", "path", "account", "kind", "recipient", "text", "body", "status", "message_id", "fault"}
    assert set(listed[0]) == expected
    assert stats == (200, {"received": 2, "by_status_and_kind": {"200 dm": 2}})
    assert (emptied, no_stats) == ((200, []), (200, {"received": 0, "by_status_and_kind": {}}))


def test_the_page_shows_the_newest_first_and_escapes_what_it_shows():
    async def scenario(call):
        call.fake.script("blocked", times=2, text_contains="never")
        for text in ("first", "<script>alert(1)</script>"):
            await call.post(MESSAGES, {"recipient": {"id": PERSON}, "message": {"text": text}})
        async with call.session.get(call.fake.url) as response:
            return response.content_type, await response.text()

    content_type, page = run(scenario)

    assert content_type == "text/html"
    assert page.index("&lt;script&gt;alert(1)") < page.index("first")
    assert "<script>" not in page
    assert "2 calls received" in page
    assert "Fault <b>blocked</b>, text_contains never, 2 left" in page
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page


def test_it_takes_its_time_when_told_to():
    async def scenario(call):
        before = time.monotonic()
        await call.post(MESSAGES, DM)
        return time.monotonic() - before

    assert run(scenario, latency_ms=60) >= 0.06


def test_stopping_ends_calls_that_hang():
    async def scenario(call):
        call.fake.script("hang")
        waiting = asyncio.ensure_future(call.post(MESSAGES, DM))
        while not call.fake.received:
            await asyncio.sleep(0)
        await call.fake.stop()
        with pytest.raises(aiohttp.ClientError):
            await waiting

    run(scenario)
