"""Matching over generated texts and rules, against rules written the plain way."""

from __future__ import annotations

import random
import unicodedata

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from automations.matching import MAX_LOOKS, Rule, RuleSet, Subject
from automations.words import keyword_tokens, words, words_and_symbols

# Letters of scripts that are written with spaces; in the others a keyword is found inside a run as well.
SPACED = [
    "abcxyzéñüßøłıİæœÅŐ",
    "αβγδεάώΣς",
    "абвгдйёїі",
    "אבגדשלום",
    "ابتسعرليك",
    "कखगलिंकीमूल्य",
    "가나다링크값",
    "աբգԱԲԳ",
]
UNSPACED = ["链接价格谢谢请", "かなリンクの", "ขอลิงก์หน่อย", "តម្លៃសូម", "ລາຄາ", "ဈေးနှုန်း"]
EMOJI = ["❤️", "👍🏽", "🔥", "🇩🇪", "1️⃣", "👩\u200d👩\u200d👧\u200d👦", "🏴\U000e0067\U000e0062\U000e007f", "™"]
SEPARATORS = [" ", "\n", "!", "?", ",", ".", "/", "(", ")", "#", "@", "_", "-", "…", "«", "。", "،", "'", "\u00a0"]


def words_of(alphabets):
    return st.sampled_from(alphabets).flatmap(lambda letters: st.text(letters, min_size=1, max_size=6)).filter(words)


def phrases_of(alphabets):
    return st.lists(words_of(alphabets), min_size=1, max_size=3).map(" ".join)


def full_width(text):
    return "".join(chr(ord(char) + 0xFEE0) if "!" <= char <= "~" else char for char in text)


REWRITINGS = st.lists(
    st.sampled_from(
        [str.upper, str.lower, str.swapcase, str.title, full_width]
        + [lambda text, form=form: unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    ),
    max_size=3,
)
AROUND = st.text(st.sampled_from(SEPARATORS), min_size=1, max_size=4)


def is_found(keyword, text):
    rule = Rule(
        id="1", name="r", trigger="dm", media_id="", match="contains", keywords=(keyword,), actions=(), priority=0
    )
    return RuleSet([rule]).decide(Subject(text=text)).rule is rule


@given(keyword=phrases_of(SPACED + UNSPACED), rewritings=REWRITINGS, before=AROUND, after=AROUND, other=st.text())
def test_a_keyword_with_separators_around_it_is_always_found(keyword, rewritings, before, after, other):
    written = keyword
    for rewrite in rewritings:
        written = rewrite(written)
    assert is_found(keyword, f"{other}{before}{written}{after}{other}")


@given(keyword=st.sampled_from(EMOJI), before=words_of(SPACED + UNSPACED), after=words_of(SPACED + UNSPACED))
def test_an_emoji_is_found_also_between_letters(keyword, before, after):
    assert is_found(keyword, f"{before}{keyword}{after}")


@given(keyword=words_of(UNSPACED), before=words_of(SPACED + UNSPACED), after=words_of(SPACED + UNSPACED))
def test_in_scripts_without_spaces_a_keyword_is_found_inside_a_run(keyword, before, after):
    assume(all(unicodedata.category(text[0])[0] != "M" for text in (keyword, after)))
    assert is_found(keyword, f"{before}{keyword}{after}")


@given(keyword=phrases_of(SPACED), glued=words_of(["abcxyz", "абвгд", "אבגד", "가나다", "0123456789"]))
def test_a_keyword_glued_to_letters_or_digits_is_never_found(keyword, glued):
    assert not is_found(keyword, f"{keyword}{glued}")
    assert not is_found(keyword, f"{glued}{keyword}")


WORDS = ["link", "LINK", "price", "the", "a", "b", "+1", "1", "???", "?", "❤️", "🔥", "链接", "链", "é", "e", ""]
RULES = st.builds(
    Rule,
    id=st.uuids().map(str),
    name=st.sampled_from(["one", "two"]),
    trigger=st.just("comment"),
    media_id=st.sampled_from(["", "", "7", "8", "9"]),
    match=st.sampled_from(["contains", "contains", "exact", "any"]),
    keywords=st.lists(st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join), max_size=4).map(tuple),
    actions=st.just(()),
    priority=st.integers(-1, 1),
)
SUBJECTS = st.builds(
    Subject,
    text=st.lists(st.sampled_from([*WORDS, "links", "!", "x"]), max_size=8).map(" ".join),
    media_ids=st.frozensets(st.sampled_from(["", "7", "8"])),
)


def matches(rule, subject):
    if rule.media_id and rule.media_id not in subject.media_ids:
        return False
    return rule.match == "any" or any(says(subject.text, keyword, rule.match) for keyword in rule.keywords)


def says(text, keyword, match):
    wanted = list(keyword_tokens(keyword))
    tokens = words(text) if wanted == words(keyword) else words_and_symbols(text)
    if match == "exact":
        return bool(wanted) and tokens == wanted
    return bool(wanted) and any(tokens[n : n + len(wanted)] == wanted for n in range(len(tokens)))


def is_better(rule, other):
    for better in (lambda r: bool(r.media_id), lambda r: r.match == "exact", lambda r: r.match == "contains"):
        if better(rule) != better(other):
            return better(rule)
    return (-rule.priority, rule.id) < (-other.priority, other.id)


@settings(max_examples=300)
@given(rules=st.lists(RULES, max_size=12, unique_by=lambda rule: rule.id), subject=SUBJECTS, seed=st.integers())
def test_it_decides_as_looking_at_every_rule_would(rules, subject, seed):
    matching = [rule for rule in rules if matches(rule, subject)]
    best = next((rule for rule in matching if not any(is_better(other, rule) for other in matching)), None)

    decision = RuleSet(rules).decide(subject)

    assert decision.rule == best
    conditions = {look["automation"]: look["failed"]["condition"] for look in decision.looks if look["failed"]}
    outranked = {automation for automation, condition in conditions.items() if condition == "outranked"}
    assert outranked == {rule.id for rule in matching if rule != best}
    assert [look["automation"] for look in decision.looks if look["matched"]] == ([best.id] if best else [])
    assert sorted(look["automation"] for look in decision.looks) == sorted(rule.id for rule in rules)
    assert [look["automation"] in outranked for look in decision.looks[1 : len(matching)]] == [True] * len(outranked)
    failed_posts = {rule.id for rule in rules if rule.media_id and rule.media_id not in subject.media_ids}
    assert {automation for automation, condition in conditions.items() if condition == "post"} == failed_posts

    random.Random(seed).shuffle(rules)
    assert RuleSet(rules).decide(subject) == decision


@given(rules=st.lists(RULES, max_size=30, unique_by=lambda rule: rule.id), subject=SUBJECTS, copies=st.integers(1, 12))
def test_the_trace_never_outgrows_its_limit(rules, subject, copies):
    many = [
        Rule(**{f: getattr(r, f) for f in r.__slots__} | {"id": f"{r.id}{n}"}) for n in range(copies) for r in rules
    ]
    looks = RuleSet(many).decide(subject).looks
    assert len(looks) == min(len(many), MAX_LOOKS + 1)
