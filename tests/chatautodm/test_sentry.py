"""One event at Sentry for each cause, and not for each job."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import sentry_sdk

from chatautodm import sentry
from chatautodm.sentry import Gate
from queueops.errors import Cause, TryAgain
from tests.chatautodm.sentry_receiver import receiving


def failing(error: Exception) -> dict[str, Any]:
    try:
        raise error
    except Exception as caught:  # noqa: BLE001 - given back as Sentry gets it
        return {"exc_info": (type(caught), caught, caught.__traceback__)}


def line(template: str, *args: object) -> dict[str, Any]:
    return {"log_record": logging.LogRecord("queueops.worker", logging.ERROR, "", 1, template, args, None)}


@pytest.fixture
def clock() -> list[float]:
    return [0.0]


@pytest.fixture
def gate(clock) -> Gate:
    return Gate(now=lambda: clock[0])


def test_of_many_like_one_the_first_goes_and_the_next_says_how_many_were_left_out(gate, clock):
    went = [gate.admit({}, failing(ValueError(str(n)))) for n in range(100)]
    assert [event is not None for event in went] == [True] + [False] * 99

    clock[0] = sentry.QUIET_SECONDS
    again = gate.admit({}, failing(ValueError("later")))
    assert again["contexts"]["repeated"] == {"left_out_since_the_last": 99}
    assert again["fingerprint"] == went[0]["fingerprint"]


def test_another_exception_another_code_and_another_line_are_causes_of_their_own(gate):
    causes = [
        failing(ValueError("x")),
        failing(KeyError("x")),
        failing(TryAgain("x", Cause(title="t", verdict="retry", code=4))),
        failing(TryAgain("x", Cause(title="t", verdict="retry", code=190, subcode=463))),
        line("action=redis_away worker=%s", "a"),
        line("action=unsettled worker=%s", "a"),
    ]
    assert all(gate.admit({}, hint) for hint in causes)
    assert not gate.admit({}, line("action=redis_away worker=%s", "another"))


def test_it_remembers_only_so_many(gate, monkeypatch):
    monkeypatch.setattr(sentry, "CAUSES", 2)
    assert all(gate.admit({}, line(f"action=n{n}")) for n in range(5))
    assert len(gate._seen) == 2


def test_an_event_carries_the_lines_fields_and_only_what_is_known_to_be_of_use(gate):
    event = {"level": "error", "request": {"data": "x"}, "user": {"id": 1}, "extra": {"sys.argv": ["x"]}, "modules": {}}
    sent = gate.admit(event, line("action=redis_away worker=%s retry_in=%.0f", "w1", 1.0))
    assert set(sent) == {"level", "contexts", "fingerprint", "tags"}
    assert sent["contexts"]["log"] == {"action": "redis_away", "worker": "w1", "retry_in": 1.0}
    assert sent["tags"] == {"action": "redis_away"}


def test_of_a_hundred_lines_of_one_cause_the_receiver_gets_one_with_release_and_environment(settings):
    with receiving() as receiver:
        settings.SENTRY_DSN, settings.SENTRY_ENVIRONMENT = receiver.dsn, "staging"
        sentry.start()
        log = logging.getLogger("queueops.worker")
        for n in range(100):
            log.error("action=redis_away worker=%s", n)
        log.error("action=unsettled worker=%s", "w1")
        sentry_sdk.flush()
        events = receiver.wait_for(2)
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)

    assert [event["tags"]["action"] for event in events] == ["redis_away", "unsettled"]
    assert {(event["release"], event["environment"]) for event in events} == {(settings.SENTRY_RELEASE, "staging")}


def test_the_release_is_the_changelogs_newest_version(settings):
    newest = re.search(r"^## \[(.+?)\]", (settings.BASE_DIR / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert f"chatautodm@{newest[1]}" == settings.SENTRY_RELEASE
