"""A lane is paused until an instant; what comes meanwhile waits, and goes by itself."""

from __future__ import annotations

import re

from playwright.sync_api import Locator, Page, expect

from automations.models import Event
from queueops import switches
from queueops.jobs import Lane
from tests.browser.bodies import comment
from tests.browser.conftest import member
from tests.browser.console import card, confirm
from tests.product.stack import Stack

WHY = "viral post, wrong link"
MILLISECONDS = 60_000  # the overview looks every five seconds


def lane(page: Page, of: str) -> Locator:
    """The line of lane `low` in this part of the overview."""
    return card(page, of).locator("tbody tr", has_text=re.compile(r"\blow\b"))


def bring_the_end_near(stack: Stack) -> None:
    """As if the half hour were nearly over."""
    # This process, too, looks once a second.
    stack.wait_until(lambda: switches.current().pause_of(Lane.LOW) is not None)
    pause = switches.current().pause_of(Lane.LOW)
    switches.pause(Lane.LOW, pause.reason, pause.by, seconds=0.5)


def test_a_lane_that_was_paused_for_half_an_hour_resumes_by_itself(stack, as_user):
    page = as_user(member("operator", "ada"))

    lane(page, "Switches").get_by_role("link", name="Pause").click()
    expect(card(page, "What happens")).to_be_visible()
    page.get_by_label("Minutes").fill("30")
    confirm(page, "Pause lane low", WHY)

    expect(lane(page, "Switches")).to_contain_text("paused")
    expect(lane(page, "Switches")).to_contain_text(re.compile(rf"by ada, since .* UTC, until .* UTC: {WHY}"))
    stack.post(comment("link please", "810"))
    expect(lane(page, "Lanes").locator("td[data-label=Waiting]")).to_have_text("1", timeout=MILLISECONDS)
    expect(lane(page, "Lanes")).to_contain_text("Paused by ada")
    assert stack.calls() == []

    bring_the_end_near(stack)

    expect(lane(page, "Switches")).to_contain_text("open", timeout=MILLISECONDS)
    stack.wait_until(lambda: Event.objects.filter(outcome=Event.Outcome.SENT).exists())
    expect(lane(page, "Lanes").locator("td[data-label=Waiting]")).to_have_text("0", timeout=MILLISECONDS)
