"""What an operator does at the console, from logging in to a message that goes out after all."""

from __future__ import annotations

import time

from playwright.sync_api import expect

from automations.models import Event
from queueops.models import DeadLetter
from tests.browser.bodies import comment, message
from tests.browser.conftest import PASSWORD, operator, viewer
from tests.browser.console import card, menu, number, row
from tests.product.test_payload_calls import OFFER, PERSON, SHOP

WAITED = 1.0  # seconds from saving a rule to the first answer by it


def dead_message(stack, times: int = 3) -> DeadLetter:
    """A message whose answer Meta refused so often that it was given up."""
    stack.fault(fault="transient1", times=times)
    stack.post(message("link", "mid.refused"))
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == 1)
    return DeadLetter.objects.get()


def test_after_the_log_in_the_overview_shows_the_lanes_the_worker_and_that_nothing_is_unexplained(stack, browser):
    stack.post(message("link", "mid.1"))
    stack.settle()

    operator("ada")
    page = browser.new_page()
    page.goto(f"{stack.web}/admin/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.press("#id_password", "Enter")

    expect(page).to_have_url(f"{stack.web}/admin/")
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    for lane in ("high", "default", "low"):
        expect(card(page, "Lanes").get_by_role("cell", name=lane, exact=True)).to_be_visible()
    expect(card(page, "Workers").get_by_text("high, default, low")).to_be_visible()
    expect(card(page, "Workers").get_by_text("of 200")).to_be_visible()
    expect(number(page, "Received")).to_have_text("1")
    expect(number(page, "Unexplained")).to_have_text("0")
    expect(page.locator(".cad-alert:visible")).to_have_count(0)
    page.close()


def test_a_dead_letter_is_retried_from_its_row_by_one_click_and_the_message_goes_out(stack, as_user):
    dead_message(stack)
    page = as_user(operator())
    menu(page, "Dead letters").click()
    before = len(stack.calls())

    row(page, SHOP).get_by_role("button", name="Retry").click()

    expect(page.get_by_text("1 dead letter retried.")).to_be_visible()
    stack.wait_until(lambda: len(stack.calls()) == before + 1)
    assert stack.calls()[-1] == (f"{SHOP}/messages", {"recipient": {"id": PERSON}, "message": {"text": OFFER}})
    stack.wait_until(lambda: Event.objects.get().outcome == Event.Outcome.SENT)
    page.reload()
    expect(row(page, SHOP).get_by_role("button", name="Retry")).to_have_count(0)


def test_a_keyword_that_was_changed_answers_the_next_comment_within_a_second(stack, as_user):
    stack.post(comment("Discount?", "780"))  # the worker knows the old rule by now
    stack.settle()
    assert stack.calls() == []
    page = as_user(operator())

    menu(page, "Automations").click()
    row(page, "Comment link").filter(has_text="@demo.shop").get_by_role("link", name="Comment link").click()
    page.fill("#id_keywords", "discount")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(row(page, "discount")).to_have_count(1)

    saved = time.monotonic()
    stack.post(comment("Discount?", "781"))
    stack.wait_until(lambda: len(stack.calls()) == 2)
    assert time.monotonic() - saved < WAITED
    assert [path for path, _ in stack.calls()] == [f"{SHOP}/messages", "781/replies"]


def test_a_viewer_sees_dead_letters_and_can_act_on_none(stack, as_user):
    letter = dead_message(stack)
    address = f"{stack.web}/admin/queueops/deadletter/"
    page = as_user(viewer())

    for place in (address, f"{address}{letter.pk}/change/"):
        page.goto(place)
        expect(page.get_by_text("Unknown error at Meta").first).to_be_visible()
        for name in ("Retry", "Discard"):
            expect(page.get_by_role("button", name=name)).to_have_count(0)
        expect(page.locator("select[name=action]")).to_have_count(0)

    token = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "csrftoken")
    for action in ("retry", "discard"):
        forged = page.request.post(
            f"{address}{letter.pk}/{action}/", form={"csrfmiddlewaretoken": token}, headers={"Referer": address}
        )
        assert forged.status == 403
    letter.refresh_from_db()
    assert letter.status == DeadLetter.Status.DEAD
