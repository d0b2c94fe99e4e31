"""What customers set up, in the console: tokens go in and never come out, rules are refused in plain words."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry

from automations.models import Account, Automation, Workspace
from tests.automations.rows import ACCOUNT, REPLY, account, automation
from tests.people import person, superuser

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

ACCOUNTS, RULES = "/admin/automations/account/", "/admin/automations/automation/"


@pytest.fixture
def admin(client):
    client.force_login(superuser())
    return client


def account_form(of: Account | None = None, **fields):
    workspace = of.workspace if of else Workspace.objects.create(name="Shop")
    given = {"workspace": workspace.pk, "instagram_id": ACCOUNT, "username": "demo.shop", "status": "active"}
    return {**given, "new_token": "", **fields}


def rule_form(of: Account, **fields):
    given = {
        "account": of.pk,
        "name": "Comment link",
        "trigger": "comment",
        "match": "contains",
        "keywords": "link\nprice list",
        "actions": json.dumps(REPLY),
        "priority": "0",
        "is_active": "on",
    }
    return {**given, **fields}


def errors(answer):
    assert answer.status_code == 200
    return answer.context["adminform"].form.errors


def test_a_new_account_keeps_its_token_encrypted(admin):
    answer = admin.post(f"{ACCOUNTS}add/", account_form(new_token="IGsecret123"))

    assert answer.status_code == 302
    assert Account.objects.get().token == "IGsecret123"


def test_the_token_is_never_shown(admin):
    row = account()

    for address in (ACCOUNTS, f"{ACCOUNTS}{row.pk}/change/", f"{ACCOUNTS}{row.pk}/history/"):
        assert "IGsecret123" not in admin.get(address).content.decode()
    failed = admin.post(f"{ACCOUNTS}{row.pk}/change/", account_form(row, instagram_id="", new_token="IGother456"))
    assert "IGother456" not in failed.content.decode()


def test_saving_without_a_new_token_keeps_the_old_one(admin):
    row = account()

    admin.post(f"{ACCOUNTS}{row.pk}/change/", account_form(row, username="new.name"))

    row.refresh_from_db()
    assert (row.username, row.token) == ("new.name", "IGsecret123")


def test_a_new_token_brings_back_an_account_that_needed_its_owner(admin):
    row = account(status="needs_owner", status_reason="Expired")

    admin.post(
        f"{ACCOUNTS}{row.pk}/change/",
        account_form(row, status="needs_owner", status_reason="Expired", new_token="IGother456"),
    )

    row.refresh_from_db()
    assert (row.token, row.status, row.status_reason) == ("IGother456", "active", "")
    assert "IGother456" not in LogEntry.objects.get().change_message


def test_pages_of_accounts_do_not_need_the_keys_their_tokens_were_written_with(admin, settings):
    row = account()
    settings.FIELD_ENCRYPTION_KEYS = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]

    assert admin.get(ACCOUNTS).status_code == 200
    assert admin.get(f"{ACCOUNTS}{row.pk}/change/").status_code == 200


@pytest.mark.parametrize("token", ["two words", "línea"])
def test_what_is_no_token_is_refused(admin, token):
    assert "new_token" in errors(admin.post(f"{ACCOUNTS}add/", account_form(new_token=token)))


def test_keywords_are_written_one_a_line(admin):
    answer = admin.post(f"{RULES}add/", rule_form(account(), keywords=" link \r\n\r\nprice list\r\n❤️"))

    assert answer.status_code == 302
    row = Automation.objects.get()
    assert row.keywords == ["link", "price list", "❤️"]
    assert "link\nprice list\n❤️</textarea>" in admin.get(f"{RULES}{row.pk}/change/").content.decode()


def test_a_json_list_of_keywords_is_understood(admin):
    admin.post(f"{RULES}add/", rule_form(account(), keywords='["link", "price, list"]'))

    assert Automation.objects.get().keywords == ["link", "price, list"]


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("actions", '[{"type": "dm",\n"text": }]', "This is not JSON: Expecting value, line 2, column 9."),
        ("actions", "[" * 100_000, "nested too deeply"),
        ("actions", "", "required"),
        ("actions", '{"type": "dm"}', "must be a list"),
        ("actions", '[{"type": "fax", "text": "x"}]', "Action 1: type must be one of"),
        ("actions", '[{"type": "dm", "text": "x"}, {"type": "dm", "text": ""}]', "Action 2: text must be a text"),
        ("keywords", "", "at least one keyword"),
    ],
)
def test_what_cannot_be_used_is_refused_in_plain_words(admin, field, value, complaint):
    answer = admin.post(f"{RULES}add/", rule_form(account(), **{field: value}))

    assert complaint in str(errors(answer)[field])
    assert not Automation.objects.exists()


def test_a_refused_form_comes_back_as_it_was_typed(admin):
    answer = admin.post(f"{RULES}add/", rule_form(account(), actions="[oops", keywords="link\nprice"))

    text = answer.content.decode()
    assert "[oops" in text
    assert "link\nprice" in text


def test_the_page_says_what_is_sent_in_words(admin):
    row = automation(
        account(),
        actions=[
            {
                **REPLY[0],
                "text": "Hi <b>",
                "buttons": [{"type": "postback", "title": "Go", "payload": "P"}],
            },
            {"type": "public_reply", "texts": ["Sent!", "Done!"]},
            {"type": "fax"},
        ],
    )

    text = admin.get(f"{RULES}{row.pk}/change/").content.decode()

    assert "Private reply “Hi &lt;b&gt;” with button “Go” (P)" in text
    assert "Public reply “Sent!” or “Done!”" in text
    assert "Cannot be sent: type must be one of" in text


def test_the_lists_take_the_same_few_queries_however_long_they_are(admin, django_assert_max_num_queries):
    of = account()
    for n in range(20):
        automation(of, name=f"Rule {n}")
        account(instagram_id=str(n), username=f"shop{n}")
    with django_assert_max_num_queries(12):
        admin.get(RULES)
    with django_assert_max_num_queries(12):
        admin.get(ACCOUNTS)


def test_staff_without_the_permission_see_none_of_it(client):
    client.force_login(person())
    for address in (ACCOUNTS, RULES, "/admin/automations/workspace/"):
        assert client.get(address).status_code == 403
