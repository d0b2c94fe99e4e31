"""Made-up traffic: bodies that our own reader takes for what they say they are."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from automations.events import Echo, Event, Kind, Notice, from_payload
from automations.words import words
from webhooks.intake import read
from webhooks.parsing import parse
from webhooks.simulation import DEFAULT_MIX, KINDS, bodies, parse_mix

ACCOUNTS = ("17841456778752687", "17841405726653026")
NOW_MS = 1_755_779_280_123
MIX = parse_mix(DEFAULT_MIX)


def generate(count=400, seed=7, mix=MIX, duplicates=0.1, now_ms=lambda: NOW_MS):
    return list(bodies(seed, mix, ACCOUNTS, count, duplicates, now_ms))


def test_each_body_is_read_as_what_it_says_it_holds():
    for generated in generate():
        items = parse(generated.body)
        assert len(items) == len(generated.contents)
        for item, content in zip(items, generated.contents, strict=True):
            if isinstance(item, Notice):
                assert item.kind.value == content.kind
            elif isinstance(item, Echo):
                assert (content.kind, item.account, item.person) == ("echo", content.account, content.person)
                assert (item.source_id, item.text) == (content.source_id, content.text)
            else:
                assert isinstance(item, Event)
                assert (item.kind.value, item.account, item.person) == (content.kind, content.account, content.person)
                assert item.source_id == content.source_id
                assert getattr(item, "text", "") == content.text
                assert getattr(item, "payload", "") == content.payload
                assert from_payload(json.loads(json.dumps(item.as_payload()))) == item


def test_nothing_in_it_is_unreadable():
    batches = [read(generated.body) for generated in generate()]

    assert all(not batch.kept for batch in batches)
    assert {name for batch in batches for name in batch.ignored} == {"echo", "read", "reaction"}


def test_the_same_seed_makes_the_same_traffic():
    assert generate() == generate()
    assert generate(seed=8) != generate()


def test_time_changes_the_bodies_and_nothing_else():
    later = generate(now_ms=lambda: NOW_MS + 60_000)

    assert [each.contents for each in later] == [each.contents for each in generate()]
    assert [each.body for each in later] != [each.body for each in generate()]


def test_every_event_is_new_unless_it_says_that_it_came_before():
    seen = set()
    for generated in generate(2000, duplicates=0.2):
        for content in generated.contents:
            identity = (content.account, content.kind, content.source_id)
            assert (identity in seen) == content.is_duplicate
            seen.add(identity)


def test_a_share_of_the_posts_comes_again_with_another_time_and_the_same_event():
    clock = iter(range(NOW_MS, NOW_MS + 10_000_000, 1000))
    first, again = {}, []
    for generated in generate(1000, duplicates=0.2, now_ms=lambda: next(clock)):
        [entry, *_] = json.loads(generated.body)["entry"]
        forms = entry.get("messaging") or entry.get("changes")
        key = generated.contents[0].source_id
        if generated.contents[0].is_duplicate:
            again.append((key, entry["time"], forms))
        elif len(generated.contents) == 1:
            first[key] = (entry["time"], forms)

    assert 150 <= len(again) <= 250
    compared = [(first[key], (time, forms)) for key, time, forms in again if key in first]
    assert compared
    assert all(before[0] < after[0] and before[1] == after[1] for before, after in compared)


def test_no_duplicates_means_none():
    assert not any(content.is_duplicate for each in generate(duplicates=0) for content in each.contents)


def test_some_bodies_hold_several_events_of_several_accounts():
    sizes = Counter(len(generated.contents) for generated in generate(1000))
    shapes = {len(json.loads(generated.body)["entry"]) for generated in generate(1000)}

    assert 0.02 < sum(count for size, count in sizes.items() if size > 1) / 1000 < 0.1
    assert max(sizes) > 4
    assert {1, 2, 3} <= shapes


def test_the_mix_is_kept():
    kinds = Counter(content.kind for each in generate(3000) for content in each.contents)

    assert set(kinds) == {kind.value for kind in KINDS.values()}
    assert 0.75 < kinds["comment"] / (2 * kinds["message"]) < 1.33
    assert kinds["comment"] > 5 * kinds["live_comment"]


def test_a_mix_of_one_makes_that_one():
    assert {content.kind for each in generate(mix={"dm": 1}) for content in each.contents} == {"message"}


KEYWORDS = {
    Kind.MESSAGE: ({"hello", "hi"}, {"link", "price"}),
    Kind.STORY_REPLY: ({"price"},),
    Kind.COMMENT: ({"link", "price"},),
}


@pytest.mark.parametrize("kind", KEYWORDS)
def test_about_half_of_them_hold_a_keyword_and_never_those_of_two_rules(kind):
    texts = [content.text for each in generate(3000) for content in each.contents if content.kind == kind]
    hits = [sum(bool(rule & set(words(text))) for rule in KEYWORDS[kind]) for text in texts]

    assert max(hits) == 1
    assert 0.4 < sum(hits) / len(hits) < 0.6


def test_the_bytes_look_like_metas():
    for generated in generate():
        assert generated.body.isascii()
        assert b'": ' not in generated.body
        assert b", " not in re.sub(rb'"(?:text|title)":"(?:[^"\\]|\\.)*"', b"", generated.body)
        assert not re.search(rb"\\u[0-9a-f]*[A-F]", generated.body)
    assert any(b"\\ud83d" in generated.body for generated in generate())


def test_ids_and_times_have_metas_length():
    for generated in generate():
        for entry in json.loads(generated.body)["entry"]:
            assert entry["time"] == (NOW_MS // 1000 if "changes" in entry else NOW_MS)
            for event in entry.get("messaging", []):
                assert 0 < NOW_MS - event["timestamp"] <= 2000
        for content in generated.contents:
            assert re.fullmatch(r"\d{16}", content.person)
            comment = content.kind in {"comment", "live_comment"}
            assert re.fullmatch(r"18\d{15}" if comment else r"[A-Za-z0-9]{160}", content.source_id)


def test_it_goes_on_without_end_when_no_count_is_given():
    source = bodies(1, MIX, ACCOUNTS, None, 0, lambda: NOW_MS)

    assert len([next(source) for _ in range(500)]) == 500


@pytest.mark.parametrize("text", ["dm", "dm=", "dm=x", "dm=-1", "story=1", "", "dm=0,comment=0", "dm=1;comment=2"])
def test_a_mix_that_means_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"name=weight|above 0"):
        parse_mix(text)


def test_a_mix_may_have_spaces():
    assert parse_mix("dm = 5, comment=1") == {"dm": 5, "comment": 1}
