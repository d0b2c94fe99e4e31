"""Hidden tenants, as queueops knows them: a set of names, and whoever says so."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User

from queueops import visibility
from tests.people import person, superuser
from tests.queueops.letters import row

pytestmark = pytest.mark.django_db


@pytest.fixture
def rules(monkeypatch):
    """No rule but what the test gives."""
    monkeypatch.setattr(visibility, "_rules", [])


def test_without_a_rule_everybody_sees_everything(rules):
    maria = person()

    assert visibility.hidden_tenants(maria) == frozenset()
    assert visibility.sees_everything(maria)


def test_what_any_rule_hides_is_hidden(rules):
    visibility.hide(lambda user: frozenset({"a"}))
    visibility.hide(lambda user: frozenset({"b"}))
    for tenant in "abc":
        row(f"of-{tenant}", account=tenant)
    maria = person()

    assert visibility.hidden_tenants(maria) == {"a", "b"}
    assert [tenant for tenant in "abc" if visibility.may_see(maria, tenant)] == ["c"]
    assert [letter.account for letter in visibility.letters(maria)] == ["c"]


def test_somebody_with_a_shell_sees_everything(rules):
    visibility.hide(lambda user: frozenset({"a"}))

    assert visibility.sees_everything(None)


def test_a_rule_counts_once_however_often_it_is_given(rules):
    def rule(user):
        return frozenset({"a"})

    visibility.hide(rule)
    visibility.hide(rule)

    assert visibility._rules == [rule]


@pytest.mark.parametrize(
    ("mine", "theirs", "may"),
    [
        (["queueops.view_console"], [], True),
        (["queueops.view_console"], ["queueops.view_console"], True),
        ([], ["queueops.view_console"], False),
        (["queueops.view_console"], ["queueops.view_console", "queueops.see_text"], False),
    ],
)
def test_nobody_takes_the_place_of_somebody_who_may_do_more(rules, mine, theirs, may):
    assert visibility.may_act_for(person(*mine), person(*theirs, name="tom")) is may


def test_nobody_but_a_superuser_takes_a_superusers_place(rules):
    maria = User.objects.create_user("maria", is_staff=True)
    maria.user_permissions.set(Permission.objects.all())

    assert not visibility.may_act_for(maria, superuser())
    assert visibility.may_act_for(superuser("bob"), superuser("eve"))


def test_what_somebody_may_do_counts_also_while_they_may_not_log_in(rules):
    asleep = person("queueops.see_text", name="tom")
    asleep.is_active = False
    asleep.save()

    assert not visibility.may_act_for(person(), asleep)


def test_nobody_takes_the_place_of_somebody_who_sees_more(rules):
    visibility.hide(lambda user: frozenset({"a"}) if user.username == "maria" else frozenset())

    assert not visibility.may_act_for(person(), person(name="tom"))
    assert visibility.may_act_for(User.objects.get(username="tom"), User.objects.get(username="maria"))
