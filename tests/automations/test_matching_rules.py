from __future__ import annotations

import json
import random
import sys

import pytest

from automations.matching import MAX_LOOKS, Rule, RuleSet, Subject


def rule(id, **fields):
    defaults = {"name": f"rule {id}", "trigger": "comment", "media_id": "", "match": "contains", "keywords": ("link",)}
    return Rule(**{"id": str(id), "actions": (), "priority": 0, **defaults, **fields})


def decide(rules, text="", *, payload="", media_ids=()):
    return RuleSet(rules).decide(Subject(text=text, payload=payload, media_ids=frozenset(media_ids)))


def winner(rules, text="", **subject):
    decision = decide(rules, text, **subject)
    return decision.rule and decision.rule.id


@pytest.mark.parametrize("text", ["", "anything at all", "\ud83d"])
def test_any_matches_whatever_came(text):
    assert winner([rule(1, match="any", keywords=())], text) == "1"


@pytest.mark.parametrize("match", ["contains", "exact"])
@pytest.mark.parametrize("keywords", [(), ("",), (" ", "\u200b")])
def test_a_rule_without_a_usable_keyword_never_matches(match, keywords):
    rules = [rule(1, match=match, keywords=keywords)]
    assert [winner(rules, text) for text in ("", " ", "link")] == [None, None, None]


def test_a_rule_with_an_unknown_match_never_matches_and_silences_no_other():
    assert winner([rule(1, match="regex", priority=9), rule(2)], "link") == "2"


def test_one_of_several_keywords_is_enough():
    assert winner([rule(1, keywords=("price", "", "the link"))], "send me the LINK") == "1"


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"media_id": "7", "match": "any"}, {"match": "exact", "priority": 9}),
        ({"match": "exact"}, {"match": "contains", "priority": 9}),
        ({"match": "contains"}, {"match": "any", "priority": 9}),
        ({"priority": 2}, {"priority": 1}),
        ({"priority": -1}, {"priority": -2}),
        ({"id": "1"}, {"id": "2"}),
        ({"media_id": "7", "priority": 1}, {"media_id": "8"}),
    ],
)
def test_the_most_specific_rule_wins(better, worse):
    rules = [rule(worse.pop("id", "1"), name="worse", **worse), rule(better.pop("id", "2"), name="better", **better)]
    for order in (rules, rules[::-1]):
        decision = decide(order, "link", media_ids=["7", "8"])
        assert decision.rule is not None
        assert decision.rule.name == "better"


def test_a_rule_for_a_post_answers_there_alone():
    rules = [rule(1, media_id="7")]
    assert winner(rules, "link", media_ids=["7"]) == "1"
    assert winner(rules, "link", media_ids=["8"]) is None
    assert winner(rules, "link") is None


def test_a_rule_for_the_original_post_answers_under_its_advert():
    assert winner([rule(1, media_id="original")], "link", media_ids=["advert", "original"]) == "1"


@pytest.mark.parametrize("trigger", ["payload", "referral"])
@pytest.mark.parametrize("match", ["contains", "exact"])
def test_a_payload_is_compared_as_it_is(trigger, match):
    rules = [rule(1, trigger=trigger, match=match, keywords=("STEP_2_YES", " Ünï "))]
    assert winner(rules, payload="STEP_2_YES") == "1"
    assert winner(rules, payload=" Ünï ") == "1"
    assert winner(rules, payload="step_2_yes") is None
    assert winner(rules, payload="STEP_2_YES ") is None
    assert winner(rules, payload="STEP_2") is None
    assert winner(rules, text="STEP_2_YES") is None


@pytest.mark.parametrize("payload", ["", "STEP"])
def test_any_payload_matches_any_and_no_payload_nothing_else(payload):
    rules = [rule(1, trigger="payload", match="any", keywords=()), rule(2, trigger="payload", keywords=("", "STEP_1"))]
    assert winner(rules, payload=payload) == "1"


def test_the_trace_says_for_every_rule_why_it_did_not_answer():
    rules = [
        rule(1, media_id="7", name="this post", priority=5),
        rule(2, name="any post"),
        rule(3, keywords=("price", "cost")),
        rule(4, media_id="8"),
    ]
    assert decide(rules, "LINK please", media_ids=["7"]).looks == [
        {"automation": "1", "name": "this post", "matched": True, "failed": None},
        {
            "automation": "2",
            "name": "any post",
            "matched": False,
            "failed": {"condition": "outranked", "expected": "this post", "seen": "any post, contains, priority 0"},
        },
        {
            "automation": "3",
            "name": "rule 3",
            "matched": False,
            "failed": {"condition": "keyword", "expected": ["price", "cost"], "seen": "LINK please"},
        },
        {
            "automation": "4",
            "name": "rule 4",
            "matched": False,
            "failed": {"condition": "post", "expected": "8", "seen": "7"},
        },
    ]


def test_the_trace_names_the_payload_that_came():
    (look,) = decide([rule(1, trigger="payload", keywords=("YES",))], "Yes, send it", payload="NO").looks
    assert look["failed"] == {"condition": "payload", "expected": ["YES"], "seen": "NO"}


def test_without_rules_there_is_nothing_to_trace():
    decision = decide([], "link")
    assert (decision.rule, decision.looks) == (None, [])


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("x" * 201, "x" * 200),
        ("x" * 199 + "e\u0301", "x" * 199),
        ("x" * 198 + "e\u0301y", "x" * 198 + "e\u0301"),
        ("x" * 199 + "👍🏽", "x" * 199),
        ("x" * 198 + "👍🏽", "x" * 198 + "👍🏽"),
        ("e" + "\u0301" * 500, "e" + "\u0301" * 199),
        ("a\x00b\ud83d", "a\ufffdb\ufffd"),
    ],
)
def test_the_trace_holds_no_more_than_200_whole_characters_that_a_database_takes(text, seen):
    (look,) = decide([rule(1, keywords=("price",))], text).looks
    assert look["failed"] is not None
    assert look["failed"]["seen"] == seen


def test_the_trace_shows_twenty_keywords_and_how_many_more_there_are():
    (look,) = decide([rule(1, keywords=tuple(f"word{n}" for n in range(25)))], "hm").looks
    assert look["failed"] is not None
    assert look["failed"]["expected"] == [*(f"word{n}" for n in range(20)), "… and 5 more"]


def test_the_trace_is_bounded_and_says_what_it_leaves_out():
    rules = [rule(f"{n:05}", keywords=(f"word{n}",)) for n in range(1000)]
    decision = decide(rules, "word700")
    assert decision.rule is not None
    assert decision.rule.id == "00700"
    assert len(decision.looks) == MAX_LOOKS + 1
    assert decision.looks[0]["automation"] == "00700"
    assert decision.looks[-1] == {
        "automation": "",
        "name": "and 980 more rules",
        "matched": False,
        "failed": {"condition": "not_listed", "expected": "", "seen": ""},
    }
    assert json.loads(json.dumps(decision.looks)) == decision.looks


def test_rules_for_this_post_are_traced_before_those_for_other_posts():
    rules = [rule(n, media_id=f"other{n}") for n in range(500)] + [rule("here", keywords=("price",))]
    assert decide(rules, "hello", media_ids=["7"]).looks[0]["automation"] == "here"


def test_a_trace_may_be_changed_without_changing_the_rules():
    rules = RuleSet([rule(1, keywords=("price",))])
    first = rules.decide(Subject(text="hello"))
    assert first.looks[0]["failed"] is not None
    first.looks[0]["failed"]["expected"].clear()
    assert rules.decide(Subject(text="hello")).looks[0]["failed"]["expected"] == ["price"]  # type: ignore[index]


MANY = {
    "a rule for each post": lambda n: rule(f"{n:05}", media_id=f"post{n}"),
    "all with one keyword": lambda n: rule(f"{n:05}"),
    "phrases that begin alike": lambda n: rule(f"{n:05}", keywords=(f"send me number {n}",)),
    "twenty keywords each": lambda n: rule(f"{n:05}", keywords=tuple(f"word{n}x{k}" for k in range(20))),
}


@pytest.mark.parametrize("make", MANY.values(), ids=MANY.keys())
def test_ten_thousand_rules_cost_little_more_than_a_hundred(make):
    subject = Subject(text="Can I have the LINK please, send me number 77", media_ids=frozenset({"post77"}))

    def calls(count: int) -> int:
        """Every call that a decision makes, Python's and C's: its work, whatever else the machine is doing."""
        rules = [make(n) for n in range(count)]
        random.Random(1).shuffle(rules)
        compiled = RuleSet(rules)
        made = 0

        def count_calls(frame: object, event: str, argument: object) -> None:
            nonlocal made
            made += event in ("call", "c_call")

        sys.setprofile(count_calls)
        try:
            compiled.decide(subject)
        finally:
            sys.setprofile(None)
        return made

    assert calls(10_000) < 1.5 * calls(100)
