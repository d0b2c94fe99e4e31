"""A comment got no answer, and the operator has a phone, in the light or in the dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from automations.models import Event
from queueops.models import DeadLetter
from tests.browser.bad_days import failed_comment
from tests.browser.conftest import member
from tests.browser.console import card
from tests.browser.test_pages_everywhere import LUMINANCE
from tests.browser.walk import PHONE


def fits(page: Page) -> bool:
    """Whether nothing has to be moved sideways."""
    width: int = page.evaluate("document.documentElement.scrollWidth")
    return width <= PHONE["width"]


# A comment each: Meta takes one private reply to a comment ever.
@pytest.mark.parametrize(("scheme", "comment"), [("light", "840"), ("dark", "841")])
def test_a_failed_comment_is_found_from_the_overview_and_retried(stack, as_user, scheme, comment):
    letter = failed_comment(stack, comment)
    page = as_user(member("operator", "ada"), viewport=PHONE, has_touch=True, is_mobile=True, color_scheme=scheme)
    assert (page.evaluate(LUMINANCE) < 80) == (scheme == "dark")
    assert fits(page)

    found = card(page, "Last dead letters").locator("tbody tr")
    expect(found).to_contain_text("comment")
    found.get_by_role("link").tap()
    expect(page.get_by_text(comment, exact=True).first).to_be_visible()
    expect(page.get_by_text("link please").first).to_be_visible()
    assert fits(page)

    page.get_by_label("Why", exact=True).first.fill("she has unblocked us")
    page.get_by_role("button", name="Retry", exact=True).tap()

    expect(page.get_by_text("1 dead letter retried.")).to_be_visible()
    assert fits(page)
    stack.wait_until(lambda: Event.objects.get().outcome == Event.Outcome.SENT)
    assert [path for path, _ in stack.calls()][-1] == f"{comment}/replies"
    letter.refresh_from_db()
    assert letter.status == DeadLetter.Status.RETRIED
