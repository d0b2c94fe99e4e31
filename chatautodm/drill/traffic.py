"""What is sent: events of every kind, each of a person of its own, so that every call can be told from every other."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from zlib import crc32

from automations import demo
from webhooks.simulated_events import Made, make
from webhooks.simulation import BATCH_SHARE, KINDS, MAX_BATCH, parse_mix

MIX = parse_mix("dm=6,quick_reply=2,postback=2,story_reply=3,story_mention=1,comment=8,live_comment=1,echo=1")
AGAIN_SHARE = 0.15
# Within the fast window at the edge, and long after it.
AGAIN_SECONDS = (0.2, 9.0)
# Meta echoes every message. Here one in four has none, as if it were lost: then an operator must decide.
WITHOUT_ECHO = 4
ECHO_SECONDS = (0.0, 0.3, 4.0)  # before the answer to its call, soon after it, and after a time-out


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A delivery: when, in seconds since the start, and what; `number` keeps equal times apart."""

    at: float
    number: int
    made: tuple[Made, ...]


def deliveries(seed: int, webhooks: int, seconds: float, now_ms: int) -> list[Due]:
    """`webhooks` first deliveries at a steady rate, and a share of them again, in order of time.

    The same arguments make the same deliveries.
    """
    random = Random(seed)  # noqa: S311 - made-up traffic, not secrets
    names, weights = list(MIX), list(MIX.values())
    accounts = list(demo.ACCOUNTS)
    due: list[Due] = []
    people = 0
    for number in range(webhooks):
        at = number * seconds / webhooks
        made = []
        for name in random.choices(names, weights, k=_size(random)):
            people += 1
            made.append(make(random, KINDS[name], random.choice(accounts), now_ms, f"8{seed % 10**6:06d}{people:08d}"))
        due.append(Due(at, len(due), tuple(made)))
        if random.random() < AGAIN_SHARE:
            due.append(Due(at + random.uniform(*AGAIN_SECONDS), len(due), tuple(made)))
    return sorted(due)


def echo_after(recipient: str) -> float | None:
    """In how many seconds the messages to this person, or about this comment, are echoed; None for never."""
    chance = crc32(recipient.encode())
    return ECHO_SECONDS[chance // WITHOUT_ECHO % len(ECHO_SECONDS)] if chance % WITHOUT_ECHO else None


def _size(random: Random) -> int:
    return random.randint(2, MAX_BATCH) if random.random() < BATCH_SHARE else 1
