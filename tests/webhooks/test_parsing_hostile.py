"""Whatever is sent, parsing gives items that can be stored, or says Unusable, and nothing else."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from automations.events import Echo, Event, Notice, Unknown, from_payload
from tests.webhooks import strategies
from tests.webhooks.bodies import body, entry
from webhooks.parsing import Item, Unusable, parse
from webhooks.untrusted import RAW_BYTES


def assert_usable(item: Item) -> None:
    """Raises for an item that the layers below could not work with."""
    if isinstance(item, Event):
        sent = json.dumps(item.as_payload(), ensure_ascii=False)
        sent.encode()  # refuses lone surrogates
        assert "\\u0000" not in sent
        assert from_payload(json.loads(sent)) == item
        assert item.account
        assert item.source_id
        assert len(item.key) == 32
    elif isinstance(item, Unknown):
        assert len(item.raw) <= RAW_BYTES
        assert "\0" not in item.reason
        assert 0 < len(item.reason.encode()) < 1000
    else:
        assert isinstance(item, Echo | Notice)


@given(strategies.BODIES)
def test_it_reads_any_body_or_says_why_not(anything: bytes):
    try:
        items = parse(anything)
    except Unusable as refusal:
        items = [Unknown(refusal.reason, b"")]
    for item in items:
        assert_usable(item)


@given(st.lists(strategies.VALUES, max_size=5), st.sampled_from(["messaging", "standby", "changes", "changed_fields"]))
def test_every_element_of_a_list_gives_one_item(pieces: list[object], name: str):
    items = parse(body(entry(**{name: pieces})))
    assert len(items) == len(pieces)
    for item in items:
        assert_usable(item)


@given(st.data())
def test_a_spoilt_piece_never_costs_its_neighbours(data: st.DataObject):
    pieces = list(strategies.PIECES)
    spoilt = data.draw(st.integers(0, len(pieces) - 1))
    before = parse(body(*(entry(**{name: [piece]}) for name, piece in pieces)))
    name, piece = pieces[spoilt]
    pieces[spoilt] = (name, data.draw(strategies.spoilt_values(piece)))
    after = parse(body(*(entry(**{name: [piece]}) for name, piece in pieces)))
    assert len(after) == len(before)
    assert after[:spoilt] == before[:spoilt]
    assert after[spoilt + 1 :] == before[spoilt + 1 :]


@given(strategies.VALUES)
def test_a_spoilt_entry_never_costs_its_neighbours(anything: object):
    good = [entry(**{name: [piece]}) for name, piece in strategies.PIECES]
    expected = parse(body(*good))
    found = parse(body(*good[:4], anything, *good[4:]))
    assert found[:4] == expected[:4]
    assert found[len(found) - len(expected[4:]) :] == expected[4:]
