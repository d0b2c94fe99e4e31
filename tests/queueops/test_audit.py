"""The audit log: appended, sealed, checked; no two writers fork it."""

from __future__ import annotations

import csv
import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from queueops import audit
from queueops.audit import API, COMMAND, CONSOLE, Act, By
from queueops.models import AuditEntry, AuditTarget
from tests.people import person, superuser

pytestmark = pytest.mark.django_db


@contextmanager
def past_the_guard():
    """As the database's owner can: without the triggers that keep what stands there."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


LIST = "/admin/queueops/auditentry/"


def act(action="retry", *keys, by=None, **more):
    targets = [(key, f"name of {key}") for key in keys]
    return audit.record(Act(by=by or By(None, COMMAND, "why not"), action=action, kind="x.y", targets=targets, **more))


def command(*args):
    stdout = io.StringIO()
    call_command("audit_log", *args, stdout=stdout)
    return stdout.getvalue()


def test_an_entry_says_who_what_how_many_and_why():
    maria = person()

    entry = act("discard", "a", "b", by=By(maria, API, "Meta was away"), details={"filters": {"lane": "low"}})

    entry.refresh_from_db()
    said = (entry.number, entry.who, entry.who_id, entry.through, entry.action, entry.count, entry.reason)
    assert said == (1, "maria", str(maria.pk), "api", "discard", 2, "Meta was away")
    assert entry.details == {"filters": {"lane": "low"}}
    assert set(entry.targets.values_list("key", "name")) == {("a", "name of a"), ("b", "name of b")}


def test_it_outlives_whom_and_what_it_is_about():
    maria = person()
    act("retry", "a", by=By(maria, CONSOLE))
    maria.delete()

    assert AuditEntry.objects.get(number=1).who == "maria"
    assert audit.verify().broken_at is None


def test_each_entry_is_sealed_with_the_one_before():
    act("one", "a")
    act("two")
    act("three", "b", "c", details={"n": 1, "deep": {"list": ["é", None, True]}})

    begin, one, two, three = AuditEntry.objects.order_by("number")

    assert [one.previous, two.previous, three.previous] == [begin.seal, one.seal, two.seal]
    checked = audit.verify()
    assert (checked.entries, checked.last_seal, checked.broken_at) == (4, three.seal, None)


@pytest.mark.parametrize(
    ("tamper", "broken_at", "problem"),
    [
        (lambda: AuditEntry.objects.filter(number=2).update(who="tom"), 2, "its content is not what was sealed"),
        (lambda: AuditEntry.objects.filter(number=2).update(reason=""), 2, "its content is not what was sealed"),
        (lambda: AuditEntry.objects.filter(number=2).update(count=9), 2, "its content is not what was sealed"),
        (lambda: AuditEntry.objects.filter(number=2).update(details={"a": 1}), 2, "its content is not what was sealed"),
        (lambda: AuditTarget.objects.filter(entry_id=2, key="a").delete(), 2, "its content is not what was sealed"),
        (lambda: AuditTarget.objects.create(entry_id=2, key="z"), 2, "its content is not what was sealed"),
        (lambda: AuditTarget.objects.filter(entry_id=2).update(name="b"), 2, "its content is not what was sealed"),
        (lambda: remove(2), 3, "entry 2 is missing"),
        (lambda: reseal(2), 3, "it does not follow the entry before it"),
        (lambda: AuditEntry.objects.filter(number=0).update(seal="f" * 64), 0, "its content is not what was sealed"),
    ],
)
def test_whatever_is_changed_afterwards_breaks_the_chain_there(tamper, broken_at, problem):
    for _ in range(3):
        act("retry", "a", "b")

    with past_the_guard():
        tamper()

    checked = audit.verify()
    assert (checked.broken_at, checked.problem) == (broken_at, problem)
    with pytest.raises(CommandError, match=f"breaks at entry {broken_at}: {problem}"):
        command("verify")


def remove(number):
    AuditTarget.objects.filter(entry_id=number).delete()
    AuditEntry.objects.filter(number=number).delete()


def reseal(number):
    """Change an entry and give it the seal that fits."""
    entry = AuditEntry.objects.get(number=number)
    entry.who = "tom"
    entry.seal = audit.seal(entry, entry.targets.values_list("key", "name"))
    entry.save()


def test_a_rewritten_chain_is_found_by_a_seal_kept_elsewhere():
    entry = act("retry", "a")
    kept = f"1:{entry.seal}"
    assert "All 2 seals hold" in command("verify", "--kept", kept)
    with past_the_guard():
        reseal(1)
    assert "All 2 seals hold" in command("verify")

    with pytest.raises(CommandError, match="the log was rewritten"):
        command("verify", "--kept", kept)
    with pytest.raises(CommandError, match="NUMBER:SEAL"):
        command("verify", "--kept", "nonsense")


def test_the_seal_goes_to_the_log_where_the_database_cannot_reach_it(caplog):
    with caplog.at_level("INFO", logger="queueops.audit"):
        entry = act("retry", "a")

    assert f"number=1 who= did=retry n=1 seal={entry.seal}" in caplog.text


@pytest.mark.parametrize("text", ["a\0b", "\ud800 alone", "x" * 5000, "=cmd()", "日本語 🔥"])
def test_whatever_people_give_as_a_reason_can_be_kept_and_checked(text):
    act("retry", "a", by=By(person(name="eve"), API, text))

    assert audit.verify().broken_at is None
    assert len(AuditEntry.objects.get(number=1).reason) <= audit.REASON_CHARACTERS


def test_two_that_write_at_once_do_not_fork_the_chain(threads):
    start = threading.Barrier(4)

    def write(name):
        start.wait()
        try:
            for n in range(5):
                act(name, str(n))
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, "abcd"))

    checked = audit.verify()
    assert (checked.entries, checked.broken_at) == (21, None)
    assert list(AuditEntry.objects.order_by("number").values_list("number", flat=True)) == list(range(21))


def test_what_is_undone_leaves_no_entry():
    with transaction.atomic():
        act("retry", "a")
        transaction.set_rollback(True)

    assert not AuditEntry.objects.exists()
    assert act("retry", "b").number == 1


def test_the_console_shows_it_and_changes_nothing(client):
    act("retry", "a", by=By(person(), CONSOLE, "<b>because</b>"))
    client.force_login(superuser())

    listed = client.get(LIST).content.decode()
    shown = client.get(f"{LIST}1/change/").content.decode()

    for text in (listed, shown):
        assert "maria" in text
        assert "&lt;b&gt;because&lt;/b&gt;" in text
    assert "name of a" in shown
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}1/change/", {"who": "tom"}).status_code == 403
    assert client.post(f"{LIST}1/delete/", {"post": "yes"}).status_code == 403
    client.post(LIST, {"action": "delete_selected", "_selected_action": ["1"], "post": "yes"})
    assert AuditEntry.objects.filter(number=1).exists()


@pytest.mark.parametrize(
    ("query", "found"),
    [("", [2, 1, 0]), ("?q=maria", [1]), ("?q=b1", [2]), ("?q=because", [1]), ("?action=discard", [2])],
)
def test_it_is_searched_by_who_what_and_why(client, query, found):
    act("retry", "a1", by=By(person(), CONSOLE, "Because of X"))
    act("discard", "b1", "b2")
    client.force_login(superuser())

    assert [entry.number for entry in client.get(LIST + query).context["cl"].result_list] == found


def test_the_console_checks_the_seals(client):
    act("retry", "a")
    client.force_login(superuser())
    assert "All 2 seals hold" in client.get(f"{LIST}verify/", follow=True).content.decode()

    with past_the_guard():
        AuditEntry.objects.filter(number=1).update(who="tom")

    assert "breaks at entry 1" in client.get(f"{LIST}verify/", follow=True).content.decode()


def test_it_is_taken_away_as_csv_and_json_lines_by_the_lists_filters(client):
    act("retry", "a", by=By(person(), CONSOLE, "=HYPERLINK(1)"))
    act("discard", "b")
    client.force_login(superuser())

    lines = client.get(f"{LIST}export/jsonl/").getvalue().decode().splitlines()
    table = list(csv.DictReader(io.StringIO(client.get(f"{LIST}export/csv/?action=retry").getvalue().decode())))

    assert [json.loads(line)["action"] for line in lines] == ["begin", "retry", "discard", "export"]
    assert json.loads(lines[1])["targets"] == [{"key": "a", "name": "name of a"}]
    assert [(row["number"], row["who"], row["reason"]) for row in table] == [("1", "maria", "'=HYPERLINK(1)")]
    assert client.get(f"{LIST}export/xml/").status_code == 404


def test_the_command_prints_the_same(client):
    act("retry", "a")
    client.force_login(superuser())

    taken = client.get(f"{LIST}export/jsonl/").getvalue().decode()  # which is an entry by itself, written first

    assert command("export") == taken
    assert command("export", "--format", "csv").splitlines()[0].startswith("number,at,who")


@pytest.mark.parametrize("path", ["", "0/change/", "verify/", "export/csv/", "export/jsonl/"])
def test_it_takes_its_permission(client, path):
    act("retry", "a")
    client.force_login(person("queueops.view_deadletter", "queueops.view_console"))
    assert client.get(LIST + path).status_code == 403
    client.force_login(person("queueops.view_auditentry", name="tom"))
    assert client.get(LIST + path).status_code in {200, 302}


def test_the_list_takes_the_same_few_queries_however_long_it_is(client, django_assert_max_num_queries):
    for n in range(30):
        act("retry", *(f"{n}-{m}" for m in range(5)))
    client.force_login(superuser())
    with django_assert_max_num_queries(14):
        client.get(LIST)
