"""Why did this comment get no answer? Found from the overview by the clicks that the operations' page names."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from automations.models import Event
from tests.browser.bad_days import failed_comment
from tests.browser.bodies import NAME, comment
from tests.browser.conftest import operator
from tests.browser.console import card, menu
from tests.product.stack import Stack

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "operations" / "why-did-a-message-not-go-out.md"
SECTION = "## Three clicks from the overview"
UNANSWERED, FAILED = "778", "820"
MOST = 3


def ways() -> dict[str, list[str]]:
    """The clicks that the page names, by what somebody knows."""
    section = PAGE.read_text().split(SECTION)[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {known: [click for click in clicks if click] for known, *clicks in rows[2:]}


def find(label: str, text: str) -> Callable[[Page], None]:
    def find(page: Page) -> None:
        page.get_by_label(re.compile(label)).fill(text)
        page.get_by_role("button", name="Find").click()

    return find


def find_by_time(page: Page) -> None:
    find("^When", f"{timezone.now():%Y-%m-%dT%H:%M}")(page)


def time_in_the_list(page: Page) -> None:
    page.locator("table tbody tr", has_text="what a lovely picture").get_by_role("link").click()


CLICKS: dict[str, Callable[[Page], None]] = {
    "*Why?*": lambda page: menu(page, "Why?").click(),
    "paste it, *Find*": find("^Comment or message id", UNANSWERED),
    "paste the @name or the id, *Find*": find("^Comment or message id", f"@{NAME}"),
    "enter the time, *Find*": find_by_time,
    "its time, in the list": time_in_the_list,
    "its time, under *Last dead letters*": lambda page: (
        card(page, "Last dead letters").locator("tbody").get_by_role("link").click()
    ),
    "*What became of the event*": lambda page: page.get_by_role("link", name="What became of the event").click(),
}


@pytest.fixture
def comments(stack: Stack) -> None:
    """Three of one person: two that got no answer, one that did."""
    stack.post(comment("what a lovely picture", UNANSWERED))
    stack.post(comment("link please", "779"))
    stack.settle()
    failed_comment(stack, FAILED)


@pytest.mark.parametrize("known", ways())
def test_the_page_of_the_comment_is_three_clicks_away_at_most_and_says_why(comments, as_user, known):
    clicks = ways()[known]
    page = as_user(operator())

    for click in clicks:
        CLICKS[click](page)

    assert 0 < len(clicks) <= MOST
    is_failed = "failed" in known
    expect(card(page, "In short")).to_contain_text("unavailable" if is_failed else "no rule matched", ignore_case=True)
    assert page.url.endswith(f"/{Event.objects.get(source_id=FAILED if is_failed else UNANSWERED).pk}/change/")


def test_every_rule_that_was_looked_at_says_what_it_expected_and_saw_and_leads_to_itself(comments, stack, as_user):
    page = as_user(operator())
    page.goto(f"{stack.web}/admin/automations/event/by-key/{UNANSWERED}/")

    looked_at = card(page, "Rules looked at").locator("tbody tr", has_text="Comment link")
    expect(looked_at).to_contain_text("keyword")
    expect(looked_at).to_contain_text("link, price")
    expect(looked_at).to_contain_text("what a lovely picture")

    looked_at.get_by_role("link", name="Comment link").click()
    expect(page.locator("#id_keywords")).to_have_value("link\nprice")
