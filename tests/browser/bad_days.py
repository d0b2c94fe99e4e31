"""What goes wrong before an operator sits down: an outage at Meta, an account without a token, spam."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from automations.models import Event
from queueops.models import DeadLetter
from tests.browser.bodies import comment, message
from tests.product.stack import Stack

UNKNOWN_ERROR = "Unknown error at Meta"
UNAVAILABLE = "The person is unavailable or blocked the account"


def outage(stack: Stack, people: int) -> list[DeadLetter]:
    """Meta answers nobody until `stack.mend`; so many people write, and their messages are given up."""
    stack.fault(fault="transient1")
    return _given_up(stack, [message("link", f"mid.outage.{n}", person(n)) for n in range(people)])


def spam(stack: Stack, people: int) -> list[DeadLetter]:
    """So many people ask for the link and take no messages."""
    stack.fault(fault="blocked")
    letters = _given_up(stack, [message("link", f"mid.spam.{n}", person(n)) for n in range(people)])
    stack.mend()
    return letters


def expired_token(stack: Stack, waiting: int) -> None:
    """The account's token has expired: one message is given up, so many others wait."""
    stack.fault(fault="expired_token", times=1)
    _given_up(stack, [message("link", "mid.expired")])
    for n in range(waiting):
        stack.post(message("link", f"mid.waiting.{n}", person(n)))
    stack.wait_until(lambda: Event.objects.filter(outcome=Event.Outcome.RETRYING).count() == waiting)


def failed_comment(stack: Stack, comment_id: str) -> DeadLetter:
    """A comment by somebody who had blocked the account, and has taken that back since."""
    stack.fault(fault="blocked")
    [letter] = _given_up(stack, [comment("link please", comment_id)])
    stack.mend()
    return letter


def close_window(letter: DeadLetter) -> None:
    """As if the day were over in which Meta lets it be answered."""
    DeadLetter.objects.filter(pk=letter.pk).update(expires_at=timezone.now() - timedelta(minutes=1))


def person(n: int) -> str:
    """The Instagram-scoped id of one of many people."""
    return f"84224916611{n:05d}"


def _given_up(stack: Stack, bodies: list[bytes]) -> list[DeadLetter]:
    for body in bodies:
        stack.post(body)
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == len(bodies))
    return list(DeadLetter.objects.dead().order_by("pk"))
