"""Tokens at rest: what is stored, how keys are changed, and what happens when one is lost."""

from __future__ import annotations

from io import StringIO

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection

from automations import reencryption, secrets
from automations.models import Account
from automations.secrets import UndecryptableError
from tests.automations.rows import account, automation

pytestmark = pytest.mark.django_db

NEW, LOST = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def stored(row: Account) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT token FROM automations_account WHERE id = %s", [row.pk])
        return str(cursor.fetchone()[0])


def reencrypt(*options: str) -> str:
    said = StringIO()
    call_command("reencrypt_tokens", *options, stdout=said)
    return said.getvalue()


@pytest.fixture
def rotated(settings):
    """Three accounts of the old key, one of the new one, one without a token; and the new key in front of the old."""
    old = [account(instagram_id=f"1784140572665302{n}", username=f"old.{n}", token=f"IGold{n}") for n in range(3)]
    account(instagram_id="17841405726653030", username="none", token="")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, *settings.FIELD_ENCRYPTION_KEYS]
    account(instagram_id="17841405726653031", username="new", token="IGnew")
    return old


@pytest.fixture
def lost(settings):
    """An account whose token was written with a key that nobody has any more."""
    before, settings.FIELD_ENCRYPTION_KEYS = settings.FIELD_ENCRYPTION_KEYS, [LOST]
    row = account(instagram_id="17841405726653099", username="lost.example", token="IGlost")
    settings.FIELD_ENCRYPTION_KEYS = before
    return Account.objects.get(pk=row.pk)


def test_what_is_stored_is_ciphertext_and_what_is_read_is_the_token():
    row = account()
    assert "IGsecret123" not in stored(row)
    assert Account.objects.get(pk=row.pk).token == "IGsecret123"
    assert Account.objects.values_list("token", flat=True).get() == stored(row)


def test_saving_something_else_writes_the_token_back_as_it_stands():
    row = account()
    before = stored(row)
    again = Account.objects.get(pk=row.pk)
    again.username = "another.name"
    again.save()
    assert stored(row) == before


def test_a_deferred_token_is_fetched_when_it_is_asked_for():
    assert Account.objects.defer("token").get(pk=account().pk).token == "IGsecret123"


def test_a_new_key_in_front_encrypts_and_the_old_one_still_reads(rotated):
    assert [Account.objects.get(pk=row.pk).token for row in rotated] == ["IGold0", "IGold1", "IGold2"]
    assert not any(secrets.is_current(stored(row)) for row in rotated)


@pytest.mark.parametrize("batch", ["1", "2", "500"])
def test_reencrypting_makes_the_old_key_needless_and_is_safe_to_repeat(rotated, settings, batch):
    assert reencrypt("--batch", batch) == "3 tokens re-encrypted, 1 use the first key already.\n"
    assert reencrypt("--batch", batch) == "0 tokens re-encrypted, 4 use the first key already.\n"
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert [Account.objects.get(pk=row.pk).token for row in rotated] == ["IGold0", "IGold1", "IGold2"]


def test_a_dry_run_changes_nothing(rotated):
    before = [stored(row) for row in rotated]
    assert reencrypt("--dry-run") == "3 tokens would be re-encrypted, 1 use the first key already.\n"
    assert [stored(row) for row in rotated] == before


def test_a_token_that_was_replaced_meanwhile_is_left_as_it_is(rotated, monkeypatch):
    encrypt = secrets.encrypt

    def somebody_is_quicker(text):
        anew = encrypt(text)
        if text == "IGold1":
            Account.objects.filter(username="old.1").update(token="IGreplaced")
        return anew

    monkeypatch.setattr("automations.reencryption.secrets.encrypt", somebody_is_quicker)
    report = reencryption.reencrypt(500)
    assert (report.reencrypted, report.changed_meanwhile) == (2, 1)
    assert Account.objects.get(username="old.1").token == "IGreplaced"


def test_a_token_that_no_key_reads_names_its_account_and_the_fix(lost):
    with pytest.raises(UndecryptableError) as caught:
        lost.token  # noqa: B018
    assert str(caught.value) == (
        "The access token of @lost.example cannot be decrypted with any of FIELD_ENCRYPTION_KEYS. "
        "Add the key it was written with to the end of the list, or enter it anew."
    )


def test_reencrypting_does_the_others_and_names_those_it_cannot_read(lost, rotated):
    with pytest.raises(CommandError, match=r"1 tokens cannot .*: @lost.example \(17841405726653099\)\. Add the key"):
        reencrypt()
    assert all(secrets.is_current(stored(row)) for row in rotated)


@pytest.mark.parametrize("page", ["account/", "automation/", "account/{row}/change/", "automation/?q=lost"])
def test_the_consoles_pages_do_not_need_the_lost_key(lost, admin_client, page):
    automation(lost)
    answer = admin_client.get(f"/admin/automations/{page.format(row=lost.pk)}", secure=True)
    assert answer.status_code == 200
    assert "lost.example" in answer.content.decode()


def test_an_account_whose_key_is_lost_can_be_saved_and_given_a_new_token(lost):
    lost.username = "found.example"
    lost.save()
    lost.token = "IGfresh"
    lost.save()
    assert Account.objects.get(pk=lost.pk).token == "IGfresh"


def test_a_batch_of_none_is_refused():
    with pytest.raises(CommandError, match="--batch 0 must be at least 1"):
        reencrypt("--batch", "0")
