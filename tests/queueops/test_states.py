"""A line for each change of state of an event, when it is asked for, with the event's key on every line."""

from __future__ import annotations

import logging

import pytest

from automations import measured
from chatautodm import logs
from queueops import states, tiers
from queueops.dispatch import Unavailable
from queueops.jobs import Batch, Job, Lane
from tests.queueops import jobs_for_tests as jobs


def one(func="note", key="e1"):
    return Batch(jobs=(Job(id=key, lane=Lane.HIGH, func=f"{jobs.HERE}.{func}", payload={"name": key}),))


@pytest.fixture
def said(caplog):
    """The lines of the states' logger, as fields."""

    def said():
        records = [record for record in caplog.records if record.name == states.logger.name]
        return [logs.fields(str(record.msg), record.args) for record in records]

    return said


@pytest.fixture
def asked(caplog):
    """LOG_EVENTS=true."""
    caplog.set_level(logging.INFO, states.logger.name)


def test_each_change_of_state_is_a_line_with_the_key(asked, said, work):
    tiers.dispatch_sync(one())
    work()

    lines = [(line["action"], line["job"], line["lane"]) for line in said()]
    assert lines == [("event_received", "e1", "high"), ("job_started", "e1", "high"), ("job_ended", "e1", "high")]
    assert said()[-1]["how"] == "completed"


def test_a_batch_of_the_quick_way_is_told_once_it_is_kept(asked, said, run):
    async def soon():
        await tiers.dispatch_soon(one())

    run(soon())
    assert [line["action"] for line in said()] == ["event_received"]


@pytest.mark.parametrize("dispatch", [tiers.dispatch, tiers.dispatch_soon])
def test_what_nobody_could_keep_was_not_received(asked, said, run, monkeypatch, dispatch):
    async def full(batch):
        raise Unavailable("full")

    monkeypatch.setattr(tiers, "TIERS", dict.fromkeys(tiers.TIERS, (full,)))

    async def refused():
        with pytest.raises(Unavailable):
            await dispatch(one())

    run(refused())
    assert said() == []


def test_calls_and_outcomes_are_lines_too(asked, said):
    measured.called(400, 190)
    measured.ended("sent")
    assert said() == [
        {"action": "graph_called", "code": "190"},
        {"action": "event_ended", "outcome": "sent", "reason": ""},
    ]


def test_unless_it_is_asked_for_nothing_of_it_is_written(said, work):
    assert not states.are_told()
    tiers.dispatch_sync(one(key="e2"))
    work()
    assert said() == []
