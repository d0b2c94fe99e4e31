"""Which rule answers: decided in memory, for any number of rules at the price of a few look-ups.

A `RuleSet` holds the rules of one account and one trigger, compiled once: phrase → rules, for each post apart. A text
is read once into tokens (`words`), and only the phrases that occur in it are looked up. Of the rules that match, the
one for this post or story comes before one for any; then exact before contains before anything; then the higher
priority; then the smaller id. Exactly one answers.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from automations.looks import Failed, Look, look, rest, shown, shown_keywords
from automations.words import keyword_tokens, words, words_and_symbols

EXACT, CONTAINS, ANY = "exact", "contains", "any"
PAYLOAD_TRIGGERS = frozenset({"payload", "referral"})

MAX_LOOKS = 100

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
        scopes = ("", *sorted(subject.media_ids - {""}))
        matching = list(islice(self._matching(subject, scopes), MAX_LOOKS))
        looks = list(islice(self._looks(subject, scopes, matching), MAX_LOOKS))
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

    def _matching(self, subject: Subject, scopes: Phrase) -> Iterator[int]:
        """The places of the rules that match, in order, each once."""
        wholes, phrases = self._said(subject)
        found = [
            *(self._any[scope] for scope in scopes if scope in self._any),
            *(self._exact[key] for scope in scopes for whole in wholes if (key := (scope, whole)) in self._exact),
            *(self._contains[key] for scope in scopes for part in phrases if (key := (scope, part)) in self._contains),
        ]
        last = -1
        for place in heapq.merge(*found):
            if place != last:
                yield place
            last = place

    def _said(self, subject: Subject) -> tuple[set[Phrase], set[Phrase]]:
        """The subject as a whole, and the phrases of any rule that occur in it."""
        if self._by_payload:
            payload: set[Phrase] = {(subject.payload,)}
            return payload, payload
        readings = [words(subject.text)]
        if self._with_symbols:
            readings.append(words_and_symbols(subject.text))
        return {tuple(tokens) for tokens in readings}, set(chain.from_iterable(map(self._phrases_in, readings)))

    def _phrases_in(self, tokens: list[str]) -> Iterator[Phrase]:
        for start, token in enumerate(tokens):
            for length in self._lengths.get(token, ()):
                yield tuple(tokens[start : start + length])

    def _looks(self, subject: Subject, scopes: Phrase, matching: list[int]) -> Iterator[Look]:
        """One rule after the other, the most telling first; lazily, as only few are wanted."""
        for place in matching:
            rule = self._rules[place]
            yield look(rule.id, rule.name, self._outranked(place, by=matching[0]))
        posts_seen = shown(", ".join(sorted(subject.media_ids)))
        words_seen = shown(subject.payload if self._by_payload else subject.text)
        condition = "payload" if self._by_payload else "keyword"
        for place in self._failing(set(matching), scopes):
            rule = self._rules[place]
            if rule.media_id in scopes:
                failed = Failed(condition=condition, expected=list(self._keywords_shown[place]), seen=words_seen)
            else:
                failed = Failed(condition="post", expected=rule.media_id, seen=posts_seen)
            yield look(rule.id, rule.name, failed)

    def _outranked(self, place: int, by: int) -> Failed | None:
        if place == by:
            return None
        return Failed(condition="outranked", expected=self._rules[by].name, seen=_rank_in_words(self._rules[place]))

    def _failing(self, matched: set[int], scopes: Phrase) -> Iterator[int]:
        """The rules for this post that do not match, then those for other posts."""
        here = heapq.merge(*(self._scoped[scope] for scope in scopes if scope in self._scoped))
        yield from (place for place in here if place not in matched)
        yield from (place for place, rule in enumerate(self._rules) if rule.media_id not in scopes)


def _precedence(rule: Rule) -> tuple[bool, int, int, str]:
    return not rule.media_id, _MATCH_ORDER.get(rule.match, len(_MATCH_ORDER)), -rule.priority, rule.id


def _rank_in_words(rule: Rule) -> str:
    return f"{'this post' if rule.media_id else 'any post'}, {rule.match}, priority {rule.priority}"
