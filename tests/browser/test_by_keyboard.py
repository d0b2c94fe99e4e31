"""What an operator does at night, by the keys alone: whatever is chosen had the focus, and showed it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from automations.models import Event
from tests.browser.bad_days import failed_comment
from tests.browser.bodies import comment
from tests.browser.conftest import PASSWORD, operator
from tests.browser.console import card, row
from tests.product.stack import Stack

MOST_STEPS = 120
ROW = "(document.activeElement.closest('tr') || document.body).innerText"
# What the element that has the focus is called; "" for none. Raises when it does not show that it has it.
FOCUSED = """() => {
    const element = document.activeElement;
    if (element === document.body || element.matches("h1, pre")) return "";
    const style = getComputedStyle(element);
    const hasOutline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
    const isShown = hasOutline || style.boxShadow !== "none";
    const box = element.getBoundingClientRect();
    if (!isShown || !box.width || !box.height) throw new Error(`The focus is not to be seen on ${element.outerHTML}`);
    const label = element.labels && element.labels.length ? element.labels[0].textContent : "";
    const copy = element.cloneNode(true);
    for (const hidden of copy.querySelectorAll("[aria-hidden=true]")) hidden.remove();
    const name = element.ariaLabel || label || copy.textContent || element.value;
    return name.replace("*", "").trim().replace(/\\s+/g, " ");
}"""


def step_to(page: Page, name: str, beside: str = "") -> None:
    """Press Tab until the focus is on what is called so, in a row with that text; every stop on the way is seen."""
    met = []
    for _ in range(MOST_STEPS):
        page.keyboard.press("Tab")
        met.append(page.evaluate(FOCUSED))
        if met[-1] == name and beside in page.evaluate(ROW):
            return
    raise AssertionError(f"{MOST_STEPS} steps do not lead to {name!r}, but to {', '.join(met)}")


def choose(page: Page, name: str, beside: str = "") -> None:
    """Step there, and follow it to the next page."""
    step_to(page, name, beside)
    with page.expect_navigation():
        page.keyboard.press("Enter")


def skip(page: Page) -> None:
    """The first stop of a page leads past its navigation."""
    page.keyboard.press("Tab")
    assert page.evaluate(FOCUSED) == "Skip to the content"
    page.keyboard.press("Enter")


def logged_in(stack: Stack, page: Page) -> None:
    user = operator()
    page.goto(f"{stack.web}/admin/")
    step_to(page, "Username")
    page.keyboard.type(user.username)
    step_to(page, "Password")
    page.keyboard.type(PASSWORD)
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page).to_have_url(f"{stack.web}/admin/")


def test_why_a_comment_failed_is_found_and_its_letter_retried(stack, window):
    letter = failed_comment(stack, "830")
    page = window()
    logged_in(stack, page)
    skip(page)
    choose(page, f"{letter.created_at:%Y-%m-%d %H:%M:%S}")
    expect(page.get_by_text("830", exact=True).first).to_be_visible()

    choose(page, "Events")
    skip(page)
    expect(row(page, "link please")).to_have_count(1)
    [event] = Event.objects.all()
    step_to(page, row(page, "link please").get_by_role("link").first.inner_text())
    with page.expect_navigation():
        page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"/event/{event.pk}/change/"))
    expect(card(page, "In short")).to_contain_text("given up", ignore_case=True)

    choose(page, f"{letter.created_at:%Y-%m-%d %H:%M:%S}")
    step_to(page, "Why")
    page.keyboard.type("Meta is back")
    choose(page, "Retry")

    expect(page.get_by_text("1 dead letter retried.")).to_be_visible()
    stack.wait_until(lambda: Event.objects.get().outcome == Event.Outcome.SENT)


def test_a_lane_is_paused_with_a_reason_and_resumed(stack, window):
    page = window()
    logged_in(stack, page)
    skip(page)
    choose(page, "Pause…", beside="low")
    skip(page)
    step_to(page, "Why")
    page.keyboard.type("Meta is down")
    choose(page, "Pause lane low")

    expect(card(page, "Switches").locator("tbody tr", has_text="low")).to_contain_text("Meta is down")
    stack.post(comment("no keyword here", "831"))
    choose(page, "Resume…", beside="low")
    choose(page, "Resume lane low")

    expect(card(page, "Switches").locator("tbody tr", has_text="low")).not_to_contain_text("paused")
    stack.settle()
    assert Event.objects.get().outcome == Event.Outcome.NO_MATCH


def test_what_the_mouse_opens_the_keys_open_as_well(stack, as_user):
    page = as_user(operator())
    page.goto(f"{stack.web}/admin/queueops/deadletter/")
    step_to(page, "Your account")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    page.keyboard.press("Enter")

    step_to(page, "Filters")
    page.keyboard.press(" ")
    expect(page.locator("#changelist-filter")).to_be_visible()
    expect(page.locator("#changelist-filter :focus")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#changelist-filter")).to_be_hidden()

    step_to(page, "Navigation")
    page.keyboard.press("Enter")
    expect(page.locator("#nav-sidebar")).to_be_hidden()
