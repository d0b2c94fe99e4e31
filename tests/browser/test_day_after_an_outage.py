"""Meta was down, and many people got no answer: the cause is retried, five first."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from automations.models import Event
from queueops.models import AuditEntry, DeadLetter, Operation
from tests.browser.bad_days import UNKNOWN_ERROR, close_window, outage
from tests.browser.conftest import member
from tests.browser.console import card, confirm, menu, number, row

PEOPLE = 12
# An operation waits for workers that look every second or two, and its page asks again every three.
MILLISECONDS = 60_000


@pytest.fixture
def letters(stack) -> list[DeadLetter]:
    return outage(stack, PEOPLE)


def retry_of_the_cause(page: Page) -> None:
    """Clicks: Causes, the cause, Retry this cause…"""
    menu(page, "Causes").click()
    page.get_by_role("link", name=UNKNOWN_ERROR).click()
    expect(number(page, "Dead")).to_have_text(str(PEOPLE))
    page.get_by_role("link", name="Retry this cause…").click()


def state(page: Page) -> Locator:
    return page.locator(".cad-bar .cad-label").first


def sent() -> int:
    return Event.objects.filter(outcome=Event.Outcome.SENT).count()


def audited(operation: Operation) -> list[tuple[str, int]]:
    """What the audit log says of it: action, and of how many."""
    entries = AuditEntry.objects.filter(reason=operation.reason, at__gte=operation.created_at).order_by("number")
    return list(entries.values_list("action", "count"))


def test_once_meta_is_back_five_go_first_and_then_the_rest_but_none_whose_window_has_closed(stack, letters, as_user):
    close_window(letters[-1])
    stack.mend()
    page = as_user(member("operator", "ada"))

    retry_of_the_cause(page)
    expect(card(page, "What happens")).to_contain_text(f"{PEOPLE - 1} dead letters go back into their lanes")
    expect(card(page, "What happens")).to_contain_text("it takes about")
    expect(card(page, "What happens")).to_contain_text("after the first 5 have ended")
    expect(card(page, "What does not")).to_contain_text("1 stays dead: their window has closed")
    assert sent() == 0

    confirm(page, f"Retry {PEOPLE - 1}", "Meta is back")
    expect(state(page)).to_have_text("done", timeout=MILLISECONDS)
    expect(number(page, "Done")).to_have_text(f"{PEOPLE - 1} of {PEOPLE - 1}")
    expect(number(page, "Died again")).to_have_text("0")
    expect(card(page, "Progress")).to_contain_text("By ada: Meta is back")
    expect(card(page, "Left out")).to_contain_text("1: their window has closed")

    stack.wait_until(lambda: sent() == PEOPLE - 1)
    assert audited(Operation.objects.get()) == [("retry many", 1), ("retry", 5), ("retry", PEOPLE - 1 - 5)]
    assert [letter.pk for letter in DeadLetter.objects.dead()] == [letters[-1].pk]

    menu(page, "Operations").click()
    expect(row(page, "Meta is back")).to_contain_text(f"{PEOPLE - 1} of {PEOPLE - 1}")


def test_when_the_first_five_die_again_it_halts_and_the_rest_goes_once_somebody_says_so(stack, letters, as_user):
    page = as_user(member("operator", "ada"))
    retry_of_the_cause(page)

    confirm(page, f"Retry {PEOPLE}", "perhaps it is over")
    halted = page.get_by_role("alert")
    expect(halted).to_contain_text(re.compile("[1-5] of the 5 that went first died again"), timeout=MILLISECONDS)
    expect(halted).to_contain_text("the others are untouched")
    expect(state(page)).to_have_text("halted")
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == PEOPLE)
    untouched = DeadLetter.objects.dead().filter(pk__in=[letter.pk for letter in letters[5:]])
    assert untouched.count() == PEOPLE - 5
    assert sent() == 0

    stack.mend()
    confirm(page, "Go on", "now it is")
    expect(state(page)).to_have_text("done", timeout=MILLISECONDS)
    stack.wait_until(lambda: sent() == PEOPLE - 5)
    assert untouched.count() == 0
    assert DeadLetter.objects.dead().count() == 5


def test_a_halted_one_is_cancelled_and_the_rest_stays(stack, letters, as_user):
    page = as_user(member("operator", "ada"))
    retry_of_the_cause(page)
    confirm(page, f"Retry {PEOPLE}", "perhaps it is over")
    expect(state(page)).to_have_text("halted", timeout=MILLISECONDS)

    confirm(page, "Cancel it", "Meta says: tomorrow")

    expect(page.get_by_text("Cancelled: what was done stays done.")).to_be_visible()
    expect(state(page)).to_have_text("cancelled")
    assert Operation.objects.get().done == 5
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == PEOPLE)
