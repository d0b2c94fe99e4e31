"""API tokens: what a key opens, when it opens nothing any more, and what the database holds of it."""

from __future__ import annotations

from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.core.cache import cache
from django.db import connection, models
from django.test import Client
from django.utils import timezone

from queueops import api_tokens
from queueops.audit import CONSOLE, By
from queueops.models import ApiToken, AuditEntry
from tests.people import api_key, person, superuser
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

STATS = "/api/queue-stats"
OPERATOR = ("queueops.view_console", "queueops.view_deadletter", "queueops.retry_deadletter")


@pytest.fixture(autouse=True)
def nobody_was_wrong_before():
    cache.clear()
    yield
    cache.clear()


def with_key(key: str) -> Client:
    return Client(headers={"Authorization": f"Token {key}"})


def status(key: str, path: str = STATS) -> int:
    return with_key(key).get(path).status_code


def test_a_key_is_found_by_its_digest_and_stored_nowhere():
    key = api_key(person("queueops.view_console"))

    assert status(key) == 200
    row = ApiToken.objects.values().get()
    assert len(key) >= 43
    assert key not in str(row)
    assert row["begins_with"] == key[:4]


def test_a_token_may_no_more_than_its_user():
    key = api_key(person("queueops.view_deadletter"))

    assert status(key, "/api/dead-letters") == 200
    assert status(key) == 403
    assert with_key(key).post(f"/api/dead-letters/{dead('e1').pk}/retry").status_code == 403


def test_a_token_to_read_with_does_nothing_whoever_its_user_is():
    letter = dead("e1")
    reads = with_key(api_key(superuser(), scope="read"))

    assert reads.get("/api/dead-letters").status_code == 200
    answer = reads.post(f"/api/dead-letters/{letter.pk}/retry")

    assert answer.status_code == 403
    assert "may only read" in answer.json()["detail"]
    letter.refresh_from_db()
    assert letter.status == "dead"


def test_a_token_to_operate_with_does_what_its_user_may():
    letter = dead("e1")

    answer = with_key(api_key(person(*OPERATOR))).post(f"/api/dead-letters/{letter.pk}/retry")

    assert answer.json() == {"retried": 1}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"revoked_at": timezone.now()}, "was revoked"),
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "expired on"),
    ],
)
def test_a_key_that_is_over_says_why(fields, why):
    answer = with_key(api_key(superuser(), **fields)).get(STATS)

    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, "Token")
    assert why in answer.json()["detail"]


def test_a_key_opens_until_it_expires():
    assert status(api_key(superuser(), expires_at=timezone.now() + timedelta(hours=1))) == 200


def test_a_key_of_somebody_who_left_opens_nothing():
    tom, eve = person(*OPERATOR, name="tom"), person(*OPERATOR, name="eve")
    toms, eves = api_key(tom), api_key(eve)

    tom.is_active = False
    tom.save()
    eve.delete()

    assert [status(toms), status(eves)] == [401, 401]
    assert ApiToken.objects.count() == 2


def test_a_revoked_key_opens_nothing_from_the_next_call_on():
    ada = superuser()
    key = api_key(ada)
    assert status(key) == 200

    assert api_tokens.revoke(ApiToken.objects.all(), By(ada, CONSOLE, "lost the laptop")) == 1
    assert api_tokens.revoke(ApiToken.objects.all(), By(ada, CONSOLE)) == 0

    assert status(key) == 401
    entry = AuditEntry.objects.get(action="revoke")
    assert (entry.who, entry.kind, entry.count, entry.reason) == ("ada", "queueops.apitoken", 1, "lost the laptop")


def test_the_last_use_is_noted_at_most_once_a_minute(django_assert_num_queries):
    key = api_key(superuser())
    assert status(key) == 200
    first = ApiToken.objects.get().last_used_at
    assert first is not None

    assert status(key) == 200
    assert ApiToken.objects.get().last_used_at == first

    ApiToken.objects.update(last_used_at=first - timedelta(minutes=2))
    assert status(key) == 200
    assert ApiToken.objects.get().last_used_at > first


@pytest.mark.parametrize("header", ["Token", "Token a b", "Token \xff", f"Token {'x' * 5000}", "Token a\0b"])
def test_what_is_no_key_is_401(header):
    answer = Client().get(STATS, headers={"Authorization": header})

    assert (answer.status_code, answer["Content-Type"]) == (401, "application/problem+json")


def test_too_many_wrong_keys_are_told_to_wait_and_right_ones_go_on():
    right = api_key(superuser())
    codes = [status(f"guess-{n}") for n in range(api_tokens.WRONG_PER_MINUTE + 1)]

    assert codes == [401] * api_tokens.WRONG_PER_MINUTE + [429]
    answer = with_key("guess").get(STATS)
    assert (answer.status_code, answer["Content-Type"]) == (429, "application/problem+json")
    assert 0 < int(answer["Retry-After"]) <= 60
    assert status(right) == 200


def test_the_demo_key_is_the_same_each_time_until_it_is_revoked():
    ada = superuser()
    key = api_tokens.ensure(ada, "demo")
    assert api_tokens.ensure(ada, "demo") == key
    assert status(key) == 200

    api_tokens.revoke(ApiToken.objects.all(), By(ada, CONSOLE))
    other = api_tokens.ensure(ada, "demo")

    assert [status(key), status(other)] == [401, 200]
    assert api_tokens.ensure(person(), "demo") != other


class OldToken(models.Model):  # noqa: DJ008 - only a table
    key = models.CharField(max_length=40, primary_key=True)
    created = models.DateTimeField()
    user_id = models.BigIntegerField()

    class Meta:
        app_label = "old"
        db_table = "authtoken_token"
        managed = False


class Registry:
    """The models of the migration, as its registry would give them."""

    def get_model(self, app: str, name: str) -> type[models.Model]:
        return OldToken if name == "OldToken" else apps.get_model(app, name)


def test_keys_that_were_stored_readable_go_on_working_and_are_readable_no_more():
    migration = import_module("queueops.migrations.0008_api_tokens")
    made = timezone.now() - timedelta(days=100)
    old_key = "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"
    with connection.schema_editor(atomic=False) as editor:
        editor.create_model(OldToken)
        OldToken._default_manager.create(key=old_key, created=made, user_id=superuser().pk)

        migration.take_over(Registry(), editor)

    token = ApiToken.objects.get()
    assert (token.scope, token.begins_with, token.created_at) == ("operate", "9944", made)
    assert status(old_key) == 200
    assert "authtoken_token" not in connection.introspection.table_names()
