"""Changing what a dead letter's job is given: validated by the job itself, kept as a version, then retried."""

from __future__ import annotations

import orjson
import pytest

from automations import events
from automations.task_paths import PROCESS_EVENT
from queueops.models import AuditEntry, DeadLetter
from tests.people import person
from tests.queueops.letters import row

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

VIEW, RETRY, EDIT, TEXT = (
    "queueops.view_deadletter",
    "queueops.retry_deadletter",
    "queueops.edit_deadletter",
    "queueops.see_text",
)
RECEIPT = {"id": "r", "at": "2026-01-01T00:00:00+00:00"}


@pytest.fixture
def letter():
    payload = events.Message(account="1", person="2", source_id="m1", at_ms=None, text="lnk").as_payload()
    return row("e1", func=PROCESS_EVENT, payload={"args": [{**payload, "attachments": []}, RECEIPT]})


@pytest.fixture
def page(client, letter):
    client.force_login(person(VIEW, RETRY, EDIT, TEXT))
    return f"/admin/queueops/deadletter/{letter.pk}/edit/"


def given(letter, **changes):
    payload, receipt = letter.payload["args"]
    return [{**payload, **changes}, receipt]


def post(client, page, args, reason="a typing mistake"):
    text = args if isinstance(args, str) else orjson.dumps(args).decode()
    return client.post(page, {"args": text, "reason": reason})


def test_the_job_starts_anew_with_what_was_changed(client, page, letter, redis):
    assert "lnk" in client.get(page).content.decode()

    answer = post(client, page, given(letter, text="link"))

    assert answer.status_code == 302
    assert orjson.loads(redis.hget("rq:job:e1", "data"))[2][0]["text"] == "link"
    changed = DeadLetter.objects.get()
    assert (changed.status, changed.payload["args"][0]["text"]) == ("retried", "link")
    [edit] = changed.edits
    assert (edit["who"], edit["before"]) == ("maria", letter.payload["args"])
    assert AuditEntry.objects.filter(action="edit", reason="a typing mistake", count=1).exists()
    assert "lnk" in client.get(f"/admin/queueops/deadletter/{letter.pk}/change/").content.decode()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"source_id": "m2"}, "same event: source_id"),
        ({"account": "2", "kind": "comment"}, "same event: kind, account"),
        ({"text": 5}, "Of another kind than it must be: text"),
        ({"at_ms": "soon"}, "Of another kind than it must be: at_ms"),
        ({"colour": "red"}, "It is no event"),
        ({"text": "a\0b"}, "It holds a NUL"),
    ],
)
def test_what_the_job_could_not_use_is_refused_in_words(client, page, letter, changes, complaint, redis):
    answer = post(client, page, given(letter, **changes))

    assert complaint in answer.content.decode()
    assert DeadLetter.objects.get().payload == letter.payload
    assert redis.llen("rq:queue:high") == 0


@pytest.mark.parametrize("args", ["", "{", "{}", "[]", "[{}, {}, {}]", "[1, 2]", '["\\ud800", {}]', "[NaN, {}]"])
def test_what_is_no_json_or_of_another_shape_is_refused(client, page, args):
    answer = post(client, page, args)

    assert answer.status_code == 200
    assert answer.context["form"].errors["args"]
    assert DeadLetter.objects.get().status == "dead"


def test_it_takes_a_reason(client, page, letter):
    assert post(client, page, given(letter, text="link"), reason="").context["form"].errors["reason"]
    assert DeadLetter.objects.get().edits == []


@pytest.mark.parametrize("lack", [RETRY, EDIT, TEXT])
@pytest.mark.parametrize("method", ["get", "post"])
def test_it_takes_every_one_of_three_permissions(client, page, letter, lack, method):
    client.force_login(person(*({VIEW, RETRY, EDIT, TEXT} - {lack}), name="tom"))

    assert getattr(client, method)(page, {"args": "[]", "reason": "x"}).status_code == 403
    assert "Edit and retry" not in client.get(page.replace("edit", "change")).content.decode()


def test_one_that_somebody_else_handled_is_not_changed(client, page, letter):
    DeadLetter.objects.update(status="discarded")

    answer = post(client, page, given(letter, text="link"))

    assert "The letter is discarded" in answer.content.decode()
    assert DeadLetter.objects.get().payload == letter.payload
