"""Which rule answers: decided in memory, for any number of rules at the price of a few look-ups.

A `RuleSet` holds the rules of one account and one trigger, compiled once: phrase → rules, for each post apart. A text
is read once into tokens (`words`), and only the phrases that occur in it are looked up. Of the rules that match, the
one for this post or story comes before one for any; then exact before contains before anything; then the higher
priority; then the smaller id. Exactly one answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from automations.looks import Failed, Look, rest, shown, shown_keywords
from automations.words import keyword_tokens, words, words_and_symbols

EXACT, CONTAINS, ANY = "exact", "contains", "any"
PAYLOAD_TRIGGERS = frozenset({"payload", "referral"})

# Kept with every event: what an operator reads, and no more.
MAX_LOOKS = 20

ANY_POST = ("",)

_MATCH_ORDER = {EXACT: 0, CONTAINS: 1, ANY: 2}

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An automation as matching needs it. media_id "" is any post or story; match is exact, contains or any.

    keywords: words, phrases, emoji; for the triggers `payload` and `referral` payloads, compared as they are. A rule
    that is not `any` and has no usable keyword never matches, nor does one with another `match`, however it came to
    be: a bad row must not silence the account's other rules. actions are carried for the caller, never looked at.
    """

    id: str
    name: str
    trigger: str
    media_id: str
    match: str
    keywords: tuple[str, ...]
    actions: tuple[Any, ...]
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What happened, as rules see it. media_ids: the post or story; for an advert its own and the original post's."""

    text: str = ""
    payload: str = ""
    media_ids: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule that answers, if any, and why the others do not: the winner, outranked matches, then failures."""

    rule: Rule | None
    looks: list[Look]


class RuleSet:
    """The active rules of one account and one trigger. Immutable, so it may be shared by any number of tasks."""

    __slots__ = (
        "_any",
        "_by_payload",
        "_contains",
        "_exact",
        "_keywords_shown",
        "_lengths",
        "_rules",
        "_scoped",
        "_with_symbols",
    )

    def __init__(self, rules: Iterable[Rule]) -> None:
        # A rule's place in this list is its rank: of the rules that match, the one with the lowest place answers.
        self._rules = sorted(rules, key=_precedence)
        self._by_payload = any(rule.trigger in PAYLOAD_TRIGGERS for rule in self._rules)
        self._keywords_shown = [shown_keywords(rule.keywords) for rule in self._rules]
        self._with_symbols = False
        # The places of rules, in order, by post ("" is any) and, where it matters, phrase.
        self._scoped: defaultdict[str, list[int]] = defaultdict(list)
        self._any: defaultdict[str, list[int]] = defaultdict(list)
        self._exact: defaultdict[tuple[str, Phrase], list[int]] = defaultdict(list)
        self._contains: defaultdict[tuple[str, Phrase], list[int]] = defaultdict(list)
        # First token of a phrase that may be contained → how long phrases that begin so are.
        self._lengths: defaultdict[str, set[int]] = defaultdict(set)
        for place, rule in enumerate(self._rules):
            self._add(place, rule)

    def __len__(self) -> int:
        return len(self._rules)

    def get(self, rule_id: str) -> Rule | None:
        """The rule of this id, None when it is not among the active ones."""
        return next((rule for rule in self._rules if rule.id == rule_id), None)

    def decide(self, subject: Subject) -> Decision:
        """The rule that answers the subject, and the looks: at most MAX_LOOKS rules, then one entry for the rest."""
        scopes = ("", *sorted(subject.media_ids - {""})) if subject.media_ids else ANY_POST
        matching = self._matching(subject, scopes)
        looks = self._looks(subject, scopes, matching)
        if len(looks) < len(self._rules):
            looks.append(rest(len(self._rules) - len(looks)))
        return Decision(self._rules[matching[0]] if matching else None, looks)

    def _add(self, place: int, rule: Rule) -> None:
        self._scoped[rule.media_id].append(place)
        if rule.match == ANY:
            self._any[rule.media_id].append(place)
            return
        for phrase in self._phrases_of(rule):
            if rule.match == EXACT:
                self._exact[rule.media_id, phrase].append(place)
            elif rule.match == CONTAINS:
                self._contains[rule.media_id, phrase].append(place)
                self._lengths[phrase[0]].add(len(phrase))

    def _phrases_of(self, rule: Rule) -> set[Phrase]:
        if self._by_payload:
            return {(payload,) for payload in rule.keywords if payload}
        phrases = {keyword_tokens(keyword): keyword for keyword in rule.keywords}
        self._with_symbols |= any(phrase != tuple(words(keyword)) for phrase, keyword in phrases.items())
        return phrases.keys() - {()}

    def _matching(self, subject: Subject, scopes: Phrase) -> list[int]:
        """The places of the first MAX_LOOKS rules that match, in order."""
        wholes, phrases = self._said(subject)
        found = [self._any[scope] for scope in scopes if scope in self._any]
        for scope in scopes:
            found += [self._exact[key] for whole in wholes if (key := (scope, whole)) in self._exact]
            found += [self._contains[key] for part in phrases if (key := (scope, part)) in self._contains]
        # Each of these is in order, so what comes first of all of them comes first in its own.
        return sorted({place for places in found for place in places[:MAX_LOOKS]})[:MAX_LOOKS]

    def _said(self, subject: Subject) -> tuple[list[Phrase], list[Phrase]]:
        """The subject as a whole, and the phrases of any rule that occur in it; some maybe twice."""
        if self._by_payload:
            return [(subject.payload,)], [(subject.payload,)]
        readings = [words(subject.text)]
        if self._with_symbols:
            readings.append(words_and_symbols(subject.text))
        phrases: list[Phrase] = []
        for tokens in readings:
            for start, token in enumerate(tokens):
                if token in self._lengths:
                    phrases += [tuple(tokens[start : start + length]) for length in self._lengths[token]]
        return [tuple(tokens) for tokens in readings], phrases

    def _looks(self, subject: Subject, scopes: Phrase, matching: list[int]) -> list[Look]:
        """The most telling rules first: those that match, those for this post, those for other posts."""
        looks = [self._look(place, self._outranked(place, by=matching[0])) for place in matching]
        if len(looks) == MAX_LOOKS:
            return looks
        condition = "payload" if self._by_payload else "keyword"
        words_seen = shown(subject.payload if self._by_payload else subject.text)
        here = self._here(scopes)
        looks += [
            self._look(place, {"condition": condition, "expected": self._keywords_shown[place][:], "seen": words_seen})
            for place in here
            if place not in matching
        ][: MAX_LOOKS - len(looks)]
        if len(looks) == MAX_LOOKS or len(here) == len(self._rules):
            return looks
        posts_seen = shown(", ".join(sorted(subject.media_ids)))
        elsewhere = (place for place, rule in enumerate(self._rules) if rule.media_id not in scopes)
        return looks + [
            self._look(place, {"condition": "post", "expected": self._rules[place].media_id, "seen": posts_seen})
            for place in islice(elsewhere, MAX_LOOKS - len(looks))
        ]

    def _look(self, place: int, failed: Failed | None) -> Look:
        rule = self._rules[place]
        return {"automation": rule.id, "name": rule.name, "matched": failed is None, "failed": failed}

    def _outranked(self, place: int, by: int) -> Failed | None:
        if place == by:
            return None
        return Failed(condition="outranked", expected=self._rules[by].name, seen=_rank_in_words(self._rules[place]))

    def _here(self, scopes: Phrase) -> list[int]:
        """The places of the first MAX_LOOKS rules for this post or for any, in order."""
        if len(scopes) == 1:
            return self._scoped[scopes[0]][:MAX_LOOKS] if scopes[0] in self._scoped else []
        return sorted(place for scope in scopes for place in self._scoped.get(scope, ())[:MAX_LOOKS])[:MAX_LOOKS]


def _precedence(rule: Rule) -> tuple[bool, int, int, str]:
    return not rule.media_id, _MATCH_ORDER.get(rule.match, len(_MATCH_ORDER)), -rule.priority, rule.id


def _rank_in_words(rule: Rule) -> str:
    return f"{'this post' if rule.media_id else 'any post'}, {rule.match}, priority {rule.priority}"
