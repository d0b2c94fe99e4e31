"""Every action of an operator is in the audit log: who, what, how many and why, wherever it was done."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, User
from redis.exceptions import ConnectionError as RedisAway

from automations.models import Account, Automation
from queueops import audit, deadletters, operators
from queueops.audit import CONSOLE, By
from queueops.models import AuditEntry, DeadLetter
from tests.automations.rows import account, automation, event
from tests.people import person, superuser
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

LIST = "/admin/queueops/deadletter/"
JSON = "application/json"


@pytest.fixture
def ada(client):
    user = superuser()
    client.force_login(user)
    return user


def newest():
    entry = AuditEntry.objects.first()
    return entry.who, entry.through, entry.action, entry.kind, entry.count, entry.reason


def touched():
    return set(AuditEntry.objects.first().targets.values_list("name", flat=True))


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_one_letter_on_its_page(client, ada, action):
    letter = dead("e1")

    client.post(f"{LIST}{letter.pk}/{action}/", {"reason": "Meta is back"})

    assert newest() == ("ada", "console", action, "queueops.deadletter", 1, "Meta is back")
    assert touched() == {"e1"}
    page = client.get(f"{LIST}{letter.pk}/change/").content.decode()
    assert "What people did" in page
    assert "Meta is back" in page


@pytest.mark.parametrize("action", ["retry", "discard"])
def test_many_letters_from_the_list(client, ada, action):
    letters = [dead("e1"), dead("e2"), dead("e3", status="resolved")]
    chosen = {"action": f"{action}_selected", "_selected_action": [letter.pk for letter in letters]}

    client.post(LIST, {**chosen, "reason": "after the outage"})

    assert newest() == ("ada", "console", action, "queueops.deadletter", 2, "after the outage")
    assert touched() == {"e1", "e2"}


def test_one_letter_by_the_api(client, ada):
    letter = dead("e1")

    client.post(f"/api/dead-letters/{letter.pk}/retry", {"reason": "asked by mail"}, content_type=JSON)

    assert newest() == ("ada", "api", "retry", "queueops.deadletter", 1, "asked by mail")


def test_many_letters_by_the_api_with_the_filters_that_chose_them(client, ada):
    dead("e1", lane="low")
    dead("e2")

    client.post("/api/dead-letters/retry?lane=low", {"reason": "comments first"}, content_type=JSON)

    assert newest() == ("ada", "api", "retry", "queueops.deadletter", 1, "comments first")
    assert AuditEntry.objects.first().details == {"filters": {"lane": "low"}}


@pytest.mark.parametrize("reason", [["a"], "x" * 2000])
def test_a_reason_that_is_no_text_is_refused_and_nothing_is_done(client, ada, reason):
    letter = dead("e1")

    answer = client.post(f"/api/dead-letters/{letter.pk}/retry", {"reason": reason}, content_type=JSON)

    assert answer.status_code == 400
    assert DeadLetter.objects.dead().count() == 1


def test_what_did_nothing_is_not_logged(client, ada):
    letter = dead("e1", status="discarded")

    client.post(f"{LIST}{letter.pk}/retry/")

    assert not AuditEntry.objects.exists()


def test_what_was_cut_off_is_logged_as_far_as_it_came(ada, monkeypatch):
    letters = [dead("e1"), dead("e2")]
    retry_one = deadletters._retry

    def gone_after_the_first(letter, *more):
        if letter.event == "e2":
            raise RedisAway
        return retry_one(letter, *more)

    monkeypatch.setattr(deadletters, "_retry", gone_after_the_first)
    with pytest.raises(RedisAway):
        operators.retry(letters, By(ada, CONSOLE, "try"))

    assert newest()[4] == 1
    assert touched() == {"e1"}


def test_an_events_page_shows_what_people_did_with_its_letters(client, ada):
    row = event("e1", outcome="dead")
    operators.discard([dead("e1")], By(ada, CONSOLE, "spam <b>"))

    page = client.get(f"/admin/automations/event/{row.pk}/change/").content.decode()

    assert "spam &lt;b&gt;" in page
    assert "discard" in page


def test_who_may_not_see_the_log_sees_none_of_it_on_other_pages(client, ada):
    letter = dead("e1")
    client.post(f"{LIST}{letter.pk}/discard/", {"reason": "a secret reason"})
    client.force_login(person("queueops.view_deadletter"))

    assert "a secret reason" not in client.get(f"{LIST}{letter.pk}/change/").content.decode()


def test_set_up_is_logged_by_field_and_without_what_was_in_it(client, ada):
    shop = account()
    form = {"workspace": shop.workspace_id, "instagram_id": shop.instagram_id, "username": "new", "status": "paused"}

    answer = client.post(f"/admin/automations/account/{shop.pk}/change/", {**form, "new_token": "IGnewsecret"})

    assert answer.status_code == 302, answer.context["adminform"].form.errors
    assert newest()[:5] == ("ada", "console", "change", "automations.account", 1)
    assert touched() == {"@new"}
    (changed,) = AuditEntry.objects.first().details["message"]
    assert {"Username", "Status", "New access token"} <= set(changed["changed"]["fields"])
    assert "IGnewsecret" not in str(AuditEntry.objects.first().details)
    assert "change" in client.get(f"/admin/automations/account/{shop.pk}/change/").content.decode()


def test_deleting_is_logged_one_by_one_and_many_at_once(client, ada):
    shop = account()
    one, two, three = (automation(shop, name=name) for name in ("one", "two", "three"))
    client.post(f"/admin/automations/automation/{one.pk}/delete/", {"post": "yes"})
    assert newest()[2:5] == ("delete", "automations.automation", 1)

    chosen = {"action": "delete_selected", "_selected_action": [two.pk, three.pk], "post": "yes"}
    client.post("/admin/automations/automation/", chosen)

    assert newest()[2:5] == ("delete", "automations.automation", 2)
    assert touched() == {"two", "three"}
    assert not Automation.objects.exists()


def test_a_form_with_a_mistake_in_it_logs_nothing(client, ada):
    shop = account()

    answer = client.post(f"/admin/automations/account/{shop.pk}/change/", {"username": "x"})

    assert answer.status_code == 200
    assert not AuditEntry.objects.exists()


def test_who_lets_whom_in_is_logged(client, ada):
    client.post("/admin/auth/group/add/", {"name": "night shift"})
    assert newest()[2:4] == ("add", "auth.group")
    tom = person(name="tom")
    client.post(f"/admin/auth/user/{tom.pk}/delete/", {"post": "yes"})
    assert newest()[2:4] == ("delete", "auth.user")
    assert Group.objects.filter(name="night shift").exists()
    assert not User.objects.filter(username="tom").exists()


def test_what_is_done_on_rqs_own_pages_is_logged_with_its_address(client, ada, redis):
    dead("e1")

    answer = client.post("/admin/django_rq/dashboard/queues/0/e1/requeue/")

    assert answer.status_code == 302
    assert newest()[:4] == ("ada", "console", "rq_page", "django_rq.dashboard")
    assert AuditEntry.objects.first().details["path"].endswith("/queues/0/e1/requeue/")
    client.get("/admin/django_rq/dashboard/queues/0/")
    assert AuditEntry.objects.filter(action="rq_page").count() == 1


def test_after_all_that_every_seal_holds(client, ada):
    shop = account()
    operators.retry([dead("e1")], By(ada, CONSOLE))
    client.post(f"/admin/automations/account/{shop.pk}/delete/", {"post": "yes"})

    assert not Account.objects.exists()
    assert (audit.verify().entries, audit.verify().broken_at) == (3, None)
