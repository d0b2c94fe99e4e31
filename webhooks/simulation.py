"""Webhook bodies as Meta posts them, made up: the same seed makes the same traffic, and says what is in it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count as counter
from random import Random

from automations.events import Kind, NoticeKind
from webhooks.simulated_events import Content, Made, make

DEFAULT_MIX = (
    "dm=5,quick_reply=1,postback=1,story_reply=1,story_mention=1,comment=10,live_comment=1,echo=2,read=2,reaction=1"
)
BATCH_SHARE = 0.05
MAX_BATCH = 8
# Meta delivers again soon or late: among so many of the newest events.
REDELIVERED_AMONG = 500

# The name in a mix, and what the event is once it is read.
KINDS: dict[str, Kind | NoticeKind] = {
    "dm": Kind.MESSAGE,
    "quick_reply": Kind.QUICK_REPLY,
    "postback": Kind.POSTBACK,
    "story_reply": Kind.STORY_REPLY,
    "story_mention": Kind.STORY_MENTION,
    "comment": Kind.COMMENT,
    "live_comment": Kind.LIVE_COMMENT,
    "echo": NoticeKind.ECHO,
    "read": NoticeKind.READ,
    "reaction": NoticeKind.REACTION,
}


@dataclass(frozen=True, slots=True)
class Generated:
    """One POST's body, and its events in the order of the body."""

    body: bytes
    contents: tuple[Content, ...]


def parse_mix(text: str) -> dict[str, int]:
    """`dm=5,comment=10` as weights. Raises ValueError."""
    mix = {}
    for part in filter(None, text.split(",")):
        name, _, weight = part.partition("=")
        if name.strip() not in KINDS or not weight.strip().isdecimal():
            raise ValueError(f"{part!r} must be name=weight: a name of {', '.join(KINDS)}, and a whole number")
        mix[name.strip()] = int(weight)
    if not any(mix.values()):
        raise ValueError("no weight is above 0; give at least one, such as dm=1")
    return mix


def bodies(
    seed: int,
    mix: Mapping[str, int],
    accounts: Sequence[str],
    count: int | None,
    duplicates: float,
    now_ms: Callable[[], int],
) -> Iterator[Generated]:
    """`count` bodies (None: without end). A share of `duplicates` (0 to 1) delivers one earlier event again.

    The same arguments make the same bodies, but for the times, which come from `now_ms` (milliseconds since 1970).
    """
    random = Random(seed)  # noqa: S311 - made-up traffic, not secrets
    recent: deque[Made] = deque(maxlen=REDELIVERED_AMONG)
    for _ in range(count) if count is not None else counter():
        if recent and random.random() < duplicates:
            again = random.choice(recent)
            yield body_of([replace(again, content=replace(again.content, is_duplicate=True))], now_ms())
        else:
            made = _fresh(random, mix, accounts, now_ms())
            recent += made
            yield body_of(made, now_ms())


def _fresh(random: Random, mix: Mapping[str, int], accounts: Sequence[str], now: int) -> list[Made]:
    """One new event, or now and then several, as Meta batches them."""
    size = random.randint(2, MAX_BATCH) if random.random() < BATCH_SHARE else 1
    names = random.choices(list(mix), list(mix.values()), k=size)
    return [make(random, KINDS[name], random.choice(accounts), now - random.randrange(100, 2000)) for name in names]


def body_of(made: Sequence[Made], now: int) -> Generated:
    """One entry for each account and shape. Its time is that of sending: seconds for changes, else milliseconds.

    `now` is in milliseconds since 1970.
    """
    entries: dict[tuple[str, str], list[Made]] = {}
    for each in made:
        entries.setdefault((each.content.account, each.shape), []).append(each)
    body = {
        "object": "instagram",
        "entry": [
            {"id": account, "time": now // 1000 if shape == "changes" else now, shape: [each.form for each in group]}
            for (account, shape), group in entries.items()
        ],
    }
    contents = tuple(each.content for group in entries.values() for each in group)
    # Compact, with \u escapes in lower-case hex: the form that Meta signs (FACTS section 2).
    return Generated(json.dumps(body, separators=(",", ":")).encode(), contents)
