"""A line of the log, for people and for machines."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest

from chatautodm import logs
from queueops import context


def record(template: str, *args: object, level: int = logging.INFO, exc_info: Any = None) -> logging.LogRecord:
    return logging.LogRecord("queueops.runner", level, "runner.py", 1, template, args, exc_info)


def as_json(made: logging.LogRecord) -> Any:
    return json.loads(logs.formatter("json").format(made))


def as_line(made: logging.LogRecord) -> str:
    """Without the time, which begins it."""
    return logs.formatter("console").format(made).split(" ", 2)[2]


@pytest.mark.parametrize(
    ("template", "args", "found"),
    [
        ("action=stopping worker=%s in_flight=%d", ("w1", 3), {"action": "stopping", "worker": "w1", "in_flight": 3}),
        ("action=job_dead job=%s error=%s", ("j", "a = b, c"), {"action": "job_dead", "job": "j", "error": "a = b, c"}),
        ("action=redis_away error=%s retry_in=%.0f", (OSError(2, "x"), 1.0), {"error": "[Errno 2] x", "retry_in": 1.0}),
        ("action=jobs_recovered %s", ("high=1 low=2",), {"action": "jobs_recovered"}),
        ("action=quiet", (), {"action": "quiet"}),
        ("QUEUE METRICS done=%d rate=%.1f/s", (1, 0.5), {}),
        ("Listening at: %s (%s)", ("x", 1), {}),
    ],
)
def test_the_pairs_of_a_template_are_fields_with_their_values(template, args, found):
    assert found.items() <= logs.fields(template, args).items()
    assert set(logs.fields(template, args)) <= {*found, "action"}


def test_a_line_for_machines_is_one_object_with_the_sentence_and_its_fields():
    line = as_json(record("action=job_dead job=%s attempts=%d", "j1", 3, level=logging.WARNING))
    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning",
        "logger": "queueops.runner",
        "event": "action=job_dead job=j1 attempts=3",
        "action": "job_dead",
        "job": "j1",
        "attempts": 3,
    }


def test_a_line_for_people_is_the_sentence_as_it_was_said():
    metrics = "QUEUE METRICS done=%d rate=%.1f/s in_flight=%d waiting: %s"
    assert as_line(record(metrics, 10, 0.16, 3, "high=0 low=12")) == (
        "INFO queueops.runner QUEUE METRICS done=10 rate=0.2/s in_flight=3 waiting: high=0 low=12"
    )


def test_what_is_logged_in_a_job_says_which():
    token = context.current.set(context.Run("high", 2, "event-key"))
    try:
        line = as_json(record("action=automation_unreadable automation=%s", "a"))
        assert (line["job"], line["lane"], line["attempt"]) == ("event-key", "high", 2)
        assert as_line(record("action=x")) == "INFO queueops.runner action=x job=event-key lane=high attempt=2"
        assert as_line(record("action=x job=%s", "own")).count("job=") == 1
    finally:
        context.current.reset(token)


def test_a_traceback_is_in_the_same_object_or_below_the_line():
    try:
        local = "not to be seen"
        raise ValueError("broken")
    except ValueError:
        made = record("action=job_raised", level=logging.ERROR, exc_info=sys.exc_info())
    assert "ValueError: broken" in as_json(made)["exception"]
    assert as_line(made).splitlines()[1].startswith("Traceback")
    assert local not in as_line(made).replace('local = "not to be seen"', "")


def test_a_line_with_a_wrong_number_of_values_is_not_lost():
    assert logs.fields("action=x a=%s b=%s", ("only one",)) == {"action": "x", "a": None, "b": None}
