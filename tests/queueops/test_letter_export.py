"""The list of dead letters as CSV: what the filters leave, some rows at a time, and never more than one may see."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from django.test import AsyncClient

from queueops import csv_export
from queueops.models import AuditEntry
from tests.automations.rows import event
from tests.people import person
from tests.queueops.letters import row

EXPORT = "/admin/queueops/deadletter/export/"
VIEW, TEXT = "queueops.view_deadletter", "queueops.see_text"

pytestmark = pytest.mark.django_db


def table(answer):
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


@pytest.fixture
def viewer(client):
    client.force_login(person(VIEW))
    return client


def test_it_holds_what_the_filters_leave_on_all_pages_newest_first(viewer, monkeypatch):
    monkeypatch.setattr(csv_export, "ROWS_AT_ONCE", 2)
    for n in range(5):
        row(f"e{n}", lane="low", automation="rule-1", automation_name="Link rule")
    row("other")

    lines = table(viewer.get(f"{EXPORT}?lane__exact=low"))

    assert [line["event"] for line in lines] == ["e4", "e3", "e2", "e1", "e0"]
    assert (lines[0]["code"], lines[0]["automation_name"], lines[0]["handled_by"]) == ("190", "Link rule", "")


def test_no_more_rows_are_read_at_once_than_are_sent(viewer, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(csv_export, "ROWS_AT_ONCE", 2)
    for n in range(5):
        row(f"e{n}")
    parts = viewer.get(EXPORT).streaming_content

    assert next(parts).startswith(b"id,created_at,status")
    with django_assert_num_queries(1):
        assert len(next(parts).splitlines()) == 2
    with django_assert_num_queries(2):
        assert len(list(parts)) == 2


def test_a_server_of_coroutines_gets_it_part_by_part(viewer, transactional_db):
    row("e1")
    cookies = viewer.cookies

    async def take():
        client = AsyncClient()
        client.cookies = cookies
        answer: Any = await client.get(EXPORT)
        assert isinstance(answer.streaming_content, AsyncIterator)
        return [part async for part in answer.streaming_content]

    head, rows = asyncio.run(take())

    assert head.startswith(b"id,")
    assert b"e1" in rows


@pytest.mark.parametrize(
    ("permissions", "text", "error"), [([VIEW], "hidden", "hidden"), ([VIEW, TEXT], "hi", "'Ann'")]
)
def test_what_people_wrote_is_in_it_for_those_who_may_see_it(client, permissions, text, error):
    row("e1", payload={"args": [{"text": "hi"}, {}]}, error="KeyError: 'Ann'", cause_verdict="bug")
    client.force_login(person(*permissions))

    [line] = table(client.get(EXPORT))

    assert line["text"].startswith(text)
    assert error in line["error"]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_spreadsheet_takes_a_text_for_a_formula(client, begin):
    row("e1", payload={"args": [{"text": f"{begin}HYPERLINK()"}, {}]})
    client.force_login(person(VIEW, TEXT))

    [line] = table(client.get(EXPORT))

    assert line["text"] == f"'{begin}HYPERLINK()"


def test_it_is_in_the_audit_log_with_its_filters(viewer):
    viewer.get(f"{EXPORT}?lane__exact=low")

    entry = AuditEntry.objects.get(number=1)
    assert (entry.who, entry.action, entry.kind) == ("maria", "export", "queueops.deadletter")
    assert entry.details["filters"] == "lane__exact=low"


@pytest.mark.parametrize("query", ["?nonsense=1", "?before=zzz"])
def test_filters_that_nobody_can_read_export_nothing(viewer, query):
    assert viewer.get(EXPORT + query).status_code == 400
    assert not AuditEntry.objects.filter(action="export").exists()


def test_without_the_permission_nothing_is_taken_away(client):
    client.force_login(person("queueops.view_console"))

    assert client.get(EXPORT).status_code == 403


def test_the_list_leads_to_it_with_its_filters(viewer):
    page = viewer.get("/admin/queueops/deadletter/?lane__exact=low&account=1").content.decode()

    assert f'href="{EXPORT}?lane__exact=low&amp;account=1"' in page


def test_events_are_exported_alike(client):
    event("k1", text="=1+1")
    client.force_login(person("automations.view_event", TEXT))

    page = client.get("/admin/automations/event/?outcome__exact=sent").content.decode()
    [line] = table(client.get("/admin/automations/event/export/"))

    assert "/admin/automations/event/export/?outcome__exact=sent" in page
    assert (line["key"], line["text"]) == ("k1", "'=1+1")
