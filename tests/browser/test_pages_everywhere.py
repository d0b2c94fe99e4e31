"""The pages an operator needs at night: on a phone, in the dark, and in a browser that runs no JavaScript."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from queueops.models import DeadLetter
from tests.browser.bad_days import failed_comment
from tests.browser.bodies import message
from tests.browser.conftest import operator
from tests.browser.walk import PHONE

LUMINANCE = """() => {
    const canvas = document.createElement("canvas").getContext("2d");
    canvas.fillStyle = getComputedStyle(document.body).backgroundColor;
    canvas.fillRect(0, 0, 1, 1);
    return Math.max(...canvas.getImageData(0, 0, 1, 1).data.slice(0, 3));
}"""


def test_nothing_is_cut_off_in_a_card(stack, as_user):
    stack.post(message("link " + "x" * 300, "aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE" * 5))
    stack.settle()
    page = as_user(operator(), viewport=PHONE)
    page.goto(f"{stack.web}/admin/automations/event/")
    cells = page.locator("#result_list .cad-two-lines").all()
    assert cells
    for cell in cells:
        inner, outer = cell.bounding_box(), cell.locator("xpath=ancestor::*[self::td or self::th]").bounding_box()
        assert inner["height"] <= outer["height"], cell.inner_text()


def test_it_is_dark_for_those_who_want_it_dark(stack, as_user):
    """That all of it can be read then is for axe to say."""
    for scheme, user in (("dark", operator()), ("light", operator("tom"))):
        page = as_user(user, color_scheme=scheme)
        assert (page.evaluate(LUMINANCE) < 80, page.evaluate(LUMINANCE) > 200) == (scheme == "dark", scheme == "light")


def test_the_overview_is_read_and_a_letter_retried_without_javascript(stack, as_user):
    failed_comment(stack, "790")
    page = as_user(operator(), java_script_enabled=False)
    expect(page.get_by_role("heading", name="Lanes")).to_be_visible()
    expect(page.locator("dl > div", has_text="Unexplained")).to_have_text(re.compile(r"Unexplained\s*0$"))

    page.goto(f"{stack.web}/admin/queueops/deadletter/")
    page.locator("#result_list").get_by_role("button", name="Retry").click()

    expect(page.get_by_text("1 dead letter retried.")).to_be_visible()
    assert DeadLetter.objects.dead().count() == 0
