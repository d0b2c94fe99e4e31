"""An account's token has expired: it is connected again, and what waited goes."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from automations.models import Account, Event
from tests.browser.bad_days import expired_token
from tests.browser.conftest import operator
from tests.browser.console import card, menu, row
from tests.product.test_payload_calls import SHOP

EXPIRED = "The account's access token has expired"
WAITING = 3


def sent() -> int:
    return Event.objects.filter(outcome=Event.Outcome.SENT).count()


def test_the_overview_says_so_a_new_token_lets_its_events_go_and_the_dead_letter_is_retried(stack, as_user):
    expired_token(stack, WAITING)
    page = as_user(operator())

    needs_owner = card(page, "Accounts that need someone").locator("tbody tr", has_text="@demo.shop")
    expect(needs_owner).to_contain_text("needs its owner")
    expect(needs_owner).to_contain_text(EXPIRED)
    needs_owner.get_by_role("link", name=str(WAITING), exact=True).click()
    expect(row(page, "retrying")).to_have_count(WAITING)

    page.go_back()
    needs_owner.get_by_role("link", name="@demo.shop").click()
    page.fill("#id_new_token", "a-new-token")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(row(page, "@demo.shop")).to_contain_text(re.compile("active", re.IGNORECASE))
    menu(page, "Overview").click()
    expect(card(page, "Accounts that need someone")).to_contain_text("No account does.")

    stack.wait_until(lambda: sent() == WAITING)
    menu(page, "Events").click()
    expect(row(page, "sent")).to_have_count(WAITING)

    menu(page, "Dead letters").click()
    expect(row(page, SHOP)).to_contain_text("needs the account's owner (code 190/463)")
    row(page, SHOP).get_by_role("button", name="Retry").click()
    expect(page.get_by_text("1 dead letter retried.")).to_be_visible()
    stack.wait_until(lambda: sent() == WAITING + 1)
    assert Account.objects.get(instagram_id=SHOP).status == Account.Status.ACTIVE
