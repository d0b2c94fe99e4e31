"""A seed's faults and traffic are the same each time, so that a drill that failed can be run again."""

from __future__ import annotations

from collections import Counter
from random import Random

from chatautodm.drill import expected, faults, traffic


def test_a_seed_always_makes_the_same_plan():
    assert faults.plan(Random(7), list(faults.FAULTS), 2) == faults.plan(Random(7), list(faults.FAULTS), 2)
    assert faults.plan(Random(7), list(faults.FAULTS), 2) != faults.plan(Random(8), list(faults.FAULTS), 2)


def test_every_fault_comes_once_in_each_round_while_webhooks_come_in():
    plan = faults.plan(Random(7), list(faults.FAULTS), 2)

    assert Counter(planned.name for planned in plan) == dict.fromkeys(faults.FAULTS, 2)
    assert all(0 < planned.after < 1 for planned in plan)


def test_a_seed_always_makes_the_same_traffic_but_for_its_times():
    [once, again] = [
        [[made.content for made in due.made] for due in traffic.deliveries(7, 200, 10.0, now_ms)] for now_ms in (1, 2)
    ]

    assert once == again


def test_no_call_is_asked_for_by_two_events_and_some_are_delivered_again():
    due = traffic.deliveries(7, 500, 10.0, 1)
    contents = {made.content.source_id: made.content for one in due for made in one.made}
    wanted = Counter(call for content in contents.values() for call in expected.calls(content))

    assert set(wanted.values()) == {1}
    assert len(wanted) > 250
    assert sum(len(one.made) for one in due) > len(contents) * 1.1
    assert {content.kind for content in contents.values()} >= {"message", "comment", "story_reply", "postback"}


def test_most_calls_are_echoed_before_and_after_their_answer_and_some_never():
    when = Counter(traffic.echo_after(f"8{number:014d}") for number in range(1000))

    assert set(when) == {None, *traffic.ECHO_SECONDS}
    assert min(when.values()) > 150
