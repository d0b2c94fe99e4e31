"""More is to be discarded than one person may discard alone."""

from __future__ import annotations

from playwright.sync_api import expect

from queueops.models import AuditEntry, DeadLetter, Operation
from tests.browser.bad_days import spam
from tests.browser.conftest import CONSENT_ABOVE, member
from tests.browser.console import card, confirm, menu, row

MANY = CONSENT_ABOVE + 1
WHY, LOOKED = "spam of last night", "looked at five of them: spam"
MILLISECONDS = 60_000


def test_one_asks_may_not_consent_another_does_and_the_audit_log_names_both(stack, as_user):
    spam(stack, MANY)
    page = as_user(member("manager", "ada"))
    menu(page, "Dead letters").click()
    page.get_by_role("link", name="Discard all that match…").click()
    expect(card(page, "What happens")).to_contain_text("It waits for the consent of a second person")
    confirm(page, f"Discard {MANY}", WHY)

    expect(page.get_by_role("alert")).to_contain_text("Somebody else who may discard and consent must say yes")
    expect(page.get_by_role("button", name="Consent")).to_have_count(0)
    forged = page.request.post(
        f"{page.url.removesuffix('change/')}consent/",
        form={"csrfmiddlewaretoken": page.locator("[name=csrfmiddlewaretoken]").first.input_value(), "reason": "mine"},
        headers={"Referer": page.url},
    )
    assert forged.status == 403
    assert Operation.objects.get().state == Operation.State.ASKED
    assert DeadLetter.objects.dead().count() == MANY

    second = as_user(member("manager", "tom"))
    menu(second, "Operations").click()
    row(second, WHY).get_by_role("link").first.click()
    expect(second.get_by_role("alert")).to_contain_text("See what it would do, then consent or cancel.")
    second.get_by_role("link", name="See what it would do").click()
    expect(card(second, "What happens")).to_contain_text(f"{MANY} dead letters are given up")
    second.go_back()
    confirm(second, "Consent", LOOKED)

    label = second.locator(".cad-bar .cad-label").first
    expect(label).to_have_text("done", timeout=MILLISECONDS)
    expect(card(second, "Progress")).to_contain_text(f"By ada, with the consent of tom: {WHY}")
    assert DeadLetter.objects.dead().count() == 0
    assert stack.settle().unexplained == 0

    menu(second, "Audit log").click()
    expect(row(second, LOOKED)).to_contain_text("tom")
    for line in row(second, WHY).all():
        expect(line).to_contain_text("ada")
    done = AuditEntry.objects.filter(reason__in=(WHY, LOOKED)).order_by("number")
    assert [(one.who, one.action, one.count) for one in done if one.at >= Operation.objects.get().created_at] == [
        ("ada", "discard many", 1),
        ("tom", "consent", 1),
        ("ada", "discard", MANY),
    ]
