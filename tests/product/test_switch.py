"""The mode is switched under load, in both directions: nothing is lost, nothing is doubled."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from queueops import connections, ledger, switches, tally
from queueops.models import FallbackCount
from queueops.switches import Mode
from tests.product.stack import Stack
from tests.product.test_bad_days import OFFER, message, outcomes
from tests.product.test_traffic import made

SENDERS = 4


class Sender(threading.Thread):
    """Delivers one message after the other until told to stop, every fifth of them twice."""

    def __init__(self, stack: Stack, numbers: Iterator[int]) -> None:
        super().__init__()
        self.numbers = numbers
        self.stack = stack
        self.delivered: list[int] = []
        self.repeated = 0
        self.refused: list[int] = []
        self.stop = threading.Event()

    def run(self) -> None:
        for number in self.numbers:
            times = 2 if number % 5 == 0 else 1
            for _ in range(times):
                status, _ = self.stack.post(message(number))
                if status != 200:
                    self.refused.append(status)
            self.delivered.append(number)
            self.repeated += times - 1
            if self.stop.is_set():
                return


@pytest.fixture
def senders(stack: Stack) -> Iterator[list[Sender]]:
    FallbackCount.objects.all().delete()
    numbers = itertools.count()  # next() of it is atomic
    senders = [Sender(stack, numbers) for _ in range(SENDERS)]
    for sender in senders:
        sender.start()
    yield senders
    end(senders)
    switches.reset_mode()
    FallbackCount.objects.all().delete()


def end(senders: list[Sender]) -> None:
    for sender in senders:
        sender.stop.set()
    for sender in senders:
        sender.join()


def deliver_more(stack: Stack, senders: list[Sender], each: int = 2) -> None:
    """Wait until every sender has delivered so many more: all but the first of them were begun after this call."""
    before = [len(sender.delivered) for sender in senders]
    stack.wait_until(lambda: all(len(sender.delivered) >= n + each for sender, n in zip(senders, before, strict=True)))


def waiting() -> int:
    return ledger.read(connections.client()).total("waiting")


def has_paused(stack: Stack, senders: list[Sender]) -> bool:
    """What comes now waits, and none is left of what was begun before: the web server, too, has seen the switch."""
    before = completed_inside_requests()
    deliver_more(stack, senders)
    is_quiet = ledger.read(connections.client()).total("active") == 0
    return waiting() > 20 and is_quiet and completed_inside_requests() == before


def completed_inside_requests() -> int:
    return tally.read().counts["completed"]


def switch(stack: Stack, senders: list[Sender], mode: Mode, until: Callable[[], bool]) -> None:
    """Switch, wait until it shows, and let the traffic go on for a while."""
    switches.set_mode(mode, "a test", "maria.example")
    stack.wait_until(until)
    deliver_more(stack, senders)


def test_from_queue_to_direct_to_paused_and_back_every_message_is_answered_once(stack: Stack, senders: list[Sender]):
    deliver_more(stack, senders, each=10)
    switch(stack, senders, Mode.DIRECT, lambda: completed_inside_requests() > 20)

    switch(stack, senders, Mode.PAUSED, lambda: has_paused(stack, senders))
    answered = len(stack.calls())
    deliver_more(stack, senders, each=10)
    assert len(stack.calls()) == answered, "paused, and yet something was sent"

    switch(stack, senders, Mode.DIRECT, lambda: waiting() == 0)
    switch(stack, senders, Mode.QUEUE, lambda: len(stack.calls()) > answered)
    end(senders)
    stack.settle()

    delivered = [number for sender in senders for number in sender.delivered]
    stack.wait_until(lambda: outcomes() == {"sent": len(delivered)})
    assert made(stack) == Counter((f"84224{number:08d}", OFFER) for number in delivered)
    assert [status for sender in senders for status in sender.refused] == []
    # What is being moved between the database and Redis is counted again a moment later.
    stack.wait_until(lambda: ledger.whole(connections.client()).unexplained == 0)
    counts = ledger.whole(connections.client())
    assert counts.received == len(delivered) + sum(sender.repeated for sender in senders)
    assert counts.total("dead") == 0
