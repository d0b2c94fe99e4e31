"""The pages an operator needs at night: on a phone, in the dark, and in a browser that runs no JavaScript."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from automations.models import Automation, Event
from queueops.models import DeadLetter
from tests.browser.bodies import comment, message
from tests.browser.conftest import operator
from tests.product.stack import Stack

PHONE = {"width": 390, "height": 844}
LUMINANCE = """() => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
    return Math.max(...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3));
}"""


@pytest.fixture
def pages(stack: Stack) -> dict[str, str]:
    """Addresses, by name, with something to show on each of them."""
    stack.fault(fault="expired_token", times=1)
    stack.post(message("link " + "x" * 300, "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE" * 5))
    stack.wait_until(lambda: DeadLetter.objects.dead().count() == 1)
    stack.post(comment("no keyword here", "790"))
    stack.post(b'{"object": "page"}')
    stack.settle()
    admin = f"{stack.web}/admin"
    return {
        "overview": f"{admin}/",
        "dead letters": f"{admin}/queueops/deadletter/",
        "dead letter": f"{admin}/queueops/deadletter/{DeadLetter.objects.get().pk}/change/",
        "events": f"{admin}/automations/event/",
        "event": f"{admin}/automations/event/{Event.objects.get(outcome='dead').pk}/change/",
        "automation": f"{admin}/automations/automation/{Automation.objects.first().pk}/change/",
        "accounts": f"{admin}/automations/account/",
        "deliveries": f"{admin}/automations/delivery/",
        "audit log": f"{admin}/queueops/auditentry/",
        "switch": f"{admin}/queueops/console/switch/low/paused/",
    }


def test_nothing_is_wider_than_a_phone_or_cut_off_in_a_card(pages, as_user):
    page = as_user(operator(), viewport=PHONE)
    for name, address in pages.items():
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
        for cell in page.locator("#result_list .cad-two-lines").all():
            inner, outer = cell.bounding_box(), cell.locator("xpath=ancestor::*[self::td or self::th]").bounding_box()
            assert inner["height"] <= outer["height"], f"{name}: {cell.inner_text()}"


def test_it_is_dark_for_those_who_want_it_dark(pages, as_user):
    page = as_user(operator(), color_scheme="dark")
    for name, address in pages.items():
        page.goto(address)
        assert page.evaluate(LUMINANCE) < 80, name
    light = as_user(operator("tom"), color_scheme="light")
    assert light.evaluate(LUMINANCE) > 200


def test_the_overview_is_read_and_a_letter_retried_without_javascript(stack, pages, as_user):
    page = as_user(operator(), java_script_enabled=False)
    expect(page.get_by_role("heading", name="Lanes")).to_be_visible()
    expect(page.locator("dl > div", has_text="Unexplained")).to_have_text(re.compile(r"Unexplained\s*0$"))

    retry(page, pages["dead letters"])

    expect(page.get_by_text("1 dead letter retried.")).to_be_visible()
    assert DeadLetter.objects.dead().count() == 0


def retry(page: Page, letters: str) -> None:
    page.goto(letters)
    page.locator("#result_list").get_by_role("button", name="Retry").click()
