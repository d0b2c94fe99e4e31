"""A keyword was forgotten: the rule is mended, and those who wrote meanwhile get their answer after all."""

from __future__ import annotations

from playwright.sync_api import expect

from automations.models import Event
from tests.browser.bad_days import person
from tests.browser.bodies import comment
from tests.browser.conftest import member
from tests.browser.console import card, confirm, menu, row

WROTE = 3


def test_a_forgotten_keyword_is_added_and_those_who_wrote_it_are_answered_once(stack, as_user):
    for number in range(WROTE):
        stack.post(comment("recipe please", f"90{number}", person(number)))
    stack.post(comment("what a lovely picture", "950"))
    stack.wait_until(lambda: Event.objects.filter(outcome="no_match").count() == WROTE + 1)
    page = as_user(member("manager", "ada"))

    menu(page, "Automations").click()
    page.get_by_role("link", name="Comment link").first.click()
    page.fill("#id_keywords", "link\nprice\nrecipe")
    page.get_by_role("button", name="Save", exact=True).click()
    menu(page, "Events").click()
    page.get_by_role("link", name="Answer what nothing answered…").click()

    expect(card(page, "In short")).to_contain_text(f"{WROTE} of these events")
    expect(card(page, f"Would be answered: {WROTE}")).to_contain_text("Comment link: 3")
    expect(card(page, "Left out: 1")).to_contain_text("no rule answers it: 1")
    confirm(page, "Answer by the rules as they are now", "the keyword was forgotten")
    expect(page.get_by_text(f"{WROTE} events go through the queue once more")).to_be_visible()

    stack.wait_until(lambda: Event.objects.filter(outcome="sent").count() == WROTE)
    page.reload()
    expect(row(page, "no match")).to_have_count(1)
    page.get_by_role("link", name="Answer what nothing answered…").click()
    expect(page.get_by_text("There is nothing to do.")).to_be_visible()
    counts = stack.settle()
    assert counts.unexplained == 0
    answered = sorted(body["recipient"]["comment_id"] for path, body in stack.calls() if path.endswith("/messages"))
    assert answered == ["900", "901", "902"]
