from __future__ import annotations

import json
from typing import Any

import pytest

from automations.events import EVENT_TYPES, Comment, Kind, LiveComment, Message, from_payload

FIELDS: dict[str, Any] = {"account": "1", "person": "2", "source_id": "3", "at_ms": 4}


@pytest.mark.parametrize("kind", Kind)
def test_every_event_survives_the_way_through_a_lane(kind):
    event = EVENT_TYPES[kind](**FIELDS)

    assert from_payload(json.loads(json.dumps(event.as_payload()))) == event


def test_what_an_event_holds_survives_too():
    event = Message(**FIELDS, text="\N{FIRE}", attachments=("image", "ig_post"), referral_ref="sale")

    assert from_payload(json.loads(json.dumps(event.as_payload()))) == event


def test_the_key_is_made_of_account_kind_and_metas_id_and_of_nothing_else():
    event = Message(**FIELDS, text="first")

    assert event.key == Message(**{**FIELDS, "at_ms": 99, "person": "9"}, text="redelivered").key
    assert event.key != Message(**{**FIELDS, "account": "2"}).key
    assert event.key != Message(**{**FIELDS, "source_id": "4"}).key
    assert Comment(**FIELDS).key != LiveComment(**FIELDS).key


@pytest.mark.parametrize("payload", [{}, {"kind": "nonsense"}, {"kind": "message"}, {"kind": "message", "x": 1}])
def test_a_payload_that_is_no_events_is_refused(payload):
    with pytest.raises((KeyError, TypeError, ValueError)):
        from_payload(payload)
