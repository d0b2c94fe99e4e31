"""The pictures in docs/operations/pictures, taken of the running product: `make pictures`.

Each is a test, for the sake of the fixtures, in a file that pytest collects only when it is named.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from automations.models import Automation
from tests.browser.bad_days import (
    UNKNOWN_ERROR,
    close_window,
    expired_token,
    failed_comment,
    outage,
    person,
    spam,
)
from tests.browser.bodies import comment, message
from tests.browser.conftest import CONSENT_ABOVE, member
from tests.browser.console import card, confirm, menu, row
from tests.browser.walk import PHONE

FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "operations" / "pictures"
DESK = {"width": 1280, "height": 800}
MOST_BYTES = 150_000
MILLISECONDS = 60_000


@pytest.fixture
def ada(as_user: Callable[..., Page]) -> Page:
    """A manager at her desk."""
    return as_user(member("manager", "ada"), viewport=DESK)


def take(name: str, of: Page | Locator, **options: Any) -> None:
    """Keep it as docs/operations/pictures/<name>.png; what is on the page, or one part of it."""
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{name}.png"
    of.screenshot(path=file, animations="disabled", **options)
    assert file.stat().st_size <= MOST_BYTES, f"{file} is too large: picture a part of the page"


def top(height: int) -> dict[str, int]:
    """The upper part of a page."""
    return {"x": 0, "y": 0, "width": DESK["width"], "height": height}


def a_quiet_day(stack: Any) -> None:
    for n in range(20):
        stack.post(message("link", f"mid.day.{n}", person(n)))
    stack.post(comment("what a lovely picture", "778"))
    stack.settle()


def test_overview(stack: Any, ada: Page) -> None:
    a_quiet_day(stack)
    expired_token(stack, 3)
    ada.reload()
    expect(card(ada, "Last dead letters")).to_be_visible()
    take("overview", ada)
    take("needs-owner", card(ada, "Accounts that need someone"))


def test_on_a_phone(stack: Any, as_user: Any) -> None:
    failed_comment(stack, "820")
    phone = as_user(member("operator", "ada"), viewport=PHONE, is_mobile=True)
    take("phone", phone)


def test_in_the_dark(stack: Any, as_user: Any) -> None:
    outage(stack, 3)
    page = as_user(member("operator", "ada"), viewport=DESK, color_scheme="dark")
    menu(page, "Dead letters").click()
    row(page, UNKNOWN_ERROR).first.get_by_role("link").first.click()
    expect(page.get_by_role("link", name="What became of the event")).to_be_visible()
    take("dead-letter-dark", page)


def test_after_an_outage(stack: Any, ada: Page) -> None:
    letters = outage(stack, 12)
    close_window(letters[-1])
    menu(ada, "Causes").click()
    expect(ada.get_by_role("link", name=UNKNOWN_ERROR)).to_be_visible()
    take("causes", ada, clip=top(320))
    ada.get_by_role("link", name=UNKNOWN_ERROR).click()
    ada.get_by_role("link", name="Retry this cause…").click()
    expect(card(ada, "What does not")).to_be_visible()
    take("plan", ada)
    confirm(ada, "Retry 11", "Meta says that it is over")
    expect(ada.get_by_role("alert")).to_contain_text("Halted", timeout=MILLISECONDS)
    take("halted", ada)


def test_two_people(stack: Any, ada: Page, as_user: Any) -> None:
    spam(stack, CONSENT_ABOVE + 1)
    menu(ada, "Dead letters").click()
    ada.get_by_role("link", name="Discard all that match…").click()
    confirm(ada, f"Discard {CONSENT_ABOVE + 1}", "spam of last night")
    tom = as_user(member("manager", "tom"), viewport=DESK)
    menu(tom, "Operations").click()
    row(tom, "spam of last night").get_by_role("link").first.click()
    expect(tom.get_by_role("button", name="Consent")).to_be_visible()
    take("consent", tom, clip=top(520))


def test_pause(ada: Page) -> None:
    card(ada, "Switches").locator("tbody tr", has_text="low").get_by_role("link", name="Pause").click()
    ada.get_by_label("Minutes").fill("30")
    ada.get_by_label("Why", exact=True).fill("viral post, wrong link")
    take("pause", ada, clip=top(520))


def test_why(stack: Any, ada: Page) -> None:
    a_quiet_day(stack)
    ada.goto(f"{stack.web}/admin/automations/event/by-key/778/")
    take("why", ada)


def test_rules(stack: Any, ada: Page) -> None:
    a_quiet_day(stack)
    rule = Automation.objects.filter(name="Comment link").earliest("pk")
    ada.goto(f"{stack.web}/admin/automations/automation/{rule.pk}/change/")
    ada.fill("#id_keywords", "link\nprice\nlovely")
    ada.get_by_role("button", name="Back-test").click()
    expect(card(ada, "In short")).to_be_visible()
    take("back-test", ada, clip=top(480))


def test_api_token(stack: Any, ada: Page) -> None:
    ada.goto(f"{stack.web}/admin/queueops/apitoken/add/")
    ada.fill("#id_name", "monitor")
    ada.fill("#id_reason", "the new monitor asks for the queue's state")
    take("api-token", ada, clip=top(510))


def test_what_would_be_answered(stack: Any, ada: Page) -> None:
    for n in range(12):
        stack.post(comment("recipe please" if n % 4 else "what a lovely picture", f"90{n}", person(n)))
    stack.settle()
    rule = Automation.objects.get(account__username="demo.shop", name="Comment link")
    rule.keywords = [*rule.keywords, "recipe"]
    rule.save()
    menu(ada, "Events").click()
    ada.get_by_role("link", name="Answer what nothing answered…").click()
    take("replay", ada)
