"""What is sent: signed bodies of one comment each, and mixed events that every one has an answer by the demo rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

from automations.events import Kind
from bench.servers import APP_SECRET
from webhooks.signature import sign
from webhooks.simulated_events import Made, make

# Meta limits what one account may send; so many share it that no limit is in the way.
ACCOUNTS = tuple(str(17841400000000000 + n) for n in range(50))

# Each matches a demo rule; a comment gets a private and a public reply, the others one call: 1.25 calls an event.
MIX = {Kind.MESSAGE: 50, Kind.QUICK_REPLY: 10, Kind.STORY_REPLY: 15, Kind.COMMENT: 25}
ANSWERED_TEXT = {Kind.MESSAGE: "link please", Kind.STORY_REPLY: "the price?", Kind.COMMENT: "LINK \U0001f525"}
CALLS_AN_EVENT = 1.25


def requests(seed: int, count: int, host: str) -> list[bytes]:
    """Whole HTTP requests, each with one comment that nothing else has."""
    template = _body(make(Random(seed), Kind.COMMENT, ACCOUNTS[0], 0))  # noqa: S311 - made-up traffic
    comment_id, account = json.loads(template)["entry"][0]["changes"][0]["value"]["id"], ACCOUNTS[0]
    before, after = template.split(comment_id.encode())
    first = 18 * 10**15 + seed * 10**9
    bodies = (
        (before + str(first + n).encode() + after).replace(account.encode(), ACCOUNTS[n % len(ACCOUNTS)].encode())
        for n in range(count)
    )
    return [_request(body, host) for body in bodies]


def messages(seed: int, count: int, host: str) -> list[tuple[str, bytes]]:
    """Whole HTTP requests with one direct message each, which is answered, and whom it is from: each once."""
    random = Random(seed)  # noqa: S311 - made-up traffic
    made = [make(random, Kind.MESSAGE, ACCOUNTS[n % len(ACCOUNTS)], 0) for n in range(count)]
    people = [str(7 * 10**15 + seed * 10**9 + n) for n in range(count)]
    for one, person in zip(made, people, strict=True):
        _say(one.form, Kind.MESSAGE)
        one.form["sender"]["id"] = person
    return [(person, _request(_body(one), host)) for person, one in zip(people, made, strict=True)]


def answered(seed: int, count: int, now_ms: int) -> Iterator[bytes]:
    """Bodies of one event each, of every kind in MIX, all of which are answered."""
    random = Random(seed)  # noqa: S311 - made-up traffic
    for kind in random.choices(list(MIX), list(MIX.values()), k=count):
        made = make(random, kind, random.choice(ACCOUNTS), now_ms)
        _say(made.form, kind)
        yield _body(made, now_ms)


def _say(form: dict[str, Any], kind: Kind) -> None:
    if kind is Kind.QUICK_REPLY:
        form["message"]["quick_reply"] = {"payload": "FLOW_42_STEP_2_YES"}
    elif kind is Kind.COMMENT:
        form["value"]["text"] = ANSWERED_TEXT[kind]
    else:
        form["message"]["text"] = ANSWERED_TEXT[kind]


def _body(made: Made, now_ms: int = 1_767_225_600_000) -> bytes:
    time = now_ms // 1000 if made.shape == "changes" else now_ms
    entry = {"id": made.content.account, "time": time, made.shape: [made.form]}
    return json.dumps({"object": "instagram", "entry": [entry]}, separators=(",", ":")).encode()


def _request(body: bytes, host: str) -> bytes:
    head = (
        "POST /api/webhooks/instagram HTTP/1.1\r\n"
        f"Host: {host}\r\nUser-Agent: Webhooks/1.0\r\nAccept: */*\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: {sign(body, APP_SECRET)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
