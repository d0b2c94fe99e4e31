"""Which dead letters an order is about: filters by name, as the console's addresses and operations carry them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q
from django.utils import timezone

from queueops import privacy, visibility
from queueops.keys import bounds_of, possible
from queueops.models import Cause, DeadLetterQuerySet

# Kept out of a retry unless it is said that they go, too.
EXPIRED, PROBABLY_SENT, REFUSED = "expired", "probably_sent", "reject"
WHY_NOT = {
    EXPIRED: "their window has closed: nothing would be sent",
    PROBABLY_SENT: "they may have been sent already",
    REFUSED: "Meta refuses them for good",
}

Values = Sequence[str]
# Those whose column is the first of an index that goes on with the status and the key.
INDEXED = ("fingerprint", "account", "automation", "code", "title", "kind")
# The one filter that depends on who asks: all of its words, each somewhere.
TEXT = "q"


@dataclass(frozen=True, slots=True)
class Selection:
    """filters: all must hold; of several values of one, any. include: names of WHY_NOT that a retry takes along."""

    filters: dict[str, list[str]] = field(default_factory=dict)
    include: frozenset[str] = frozenset()

    def letters(self, user: Any) -> DeadLetterQuerySet:
        """The open ones that match, of those that this user may see; by what they may see. None: everybody's."""
        others = {name: values for name, values in self.filters.items() if name != TEXT}
        letters = visibility.letters(user).dead().filter(*(CONDITIONS[name](texts) for name, texts in others.items()))
        return letters.filter(*(_by_text(user, word) for word in self.filters.get(TEXT, ())))

    def parts(self, user: Any) -> list[DeadLetterQuerySet]:
        """More letters than those that match, but each as an index has them in the order of their keys.

        By each filter of one value that an index begins with; without any the open letters themselves.
        """
        letters = visibility.letters(user).dead()
        if since := self.filters.get("since"):
            # A letter's key is made after it was given up.
            letters = letters.filter(**bounds_of(max(map(_moment, since)), None))
        single = [name for name in INDEXED if len(set(self.filters.get(name, ()))) == 1]
        return [letters.filter(CONDITIONS[name](self.filters[name])) for name in single] or [letters]

    def as_json(self) -> dict[str, list[str]]:
        """What `parse` reads."""
        return {**self.filters, **({"include": sorted(self.include)} if self.include else {})}

    def as_query(self) -> str:
        """For an address."""
        return urlencode(self.as_json(), doseq=True)

    def in_words(self) -> str:
        return in_words(self.filters, titles(self.filters))


def titles(filters: Mapping[str, Values]) -> dict[str, str]:
    """Of the causes that these filters name, by fingerprint."""
    return dict(Cause.objects.filter(pk__in=filters.get("fingerprint", ())).values_list("pk", "title"))


def in_words(filters: Mapping[str, Values], titles: Mapping[str, str]) -> str:
    """“cause is Meta is down; lane is high or low”. A cause that nobody knows any more is said by its fingerprint."""
    said = []
    for name, values in filters.items():
        if name == "fingerprint":
            said.append(f"cause is {' or '.join(titles.get(value, value) for value in values)}")
        elif name != "include":
            said.append(f"{'text' if name == TEXT else name} is {' or '.join(values)}")
    return "; ".join(said) or "all dead letters"


def parse(given: Mapping[str, Any]) -> Selection:
    """Each value a text or a list of texts. Raises ValueError, in words: a misspelt filter would mean "all"."""
    values = {name: [str(one) for one in _listed(value)] for name, value in given.items()}
    include = values.pop("include", [])
    unknown = sorted(set(values) - {*CONDITIONS, TEXT})
    if unknown:
        raise ValueError(f"There is no filter {', '.join(unknown)}; there are {', '.join([*CONDITIONS, TEXT])}.")
    if set(include) - set(WHY_NOT):
        raise ValueError(f"Only {', '.join(WHY_NOT)} can be included.")
    if any("\0" in text for texts in values.values() for text in texts):
        raise ValueError("No filter holds the character NUL.")
    selection = Selection({name: texts for name, texts in values.items() if texts}, frozenset(include))
    for name, texts in selection.filters.items():
        if name != TEXT:
            CONDITIONS[name](texts)  # so that a number that is none is said now
    return selection


def left_out(include: frozenset[str], now: datetime) -> dict[str, Q]:
    """Which letters a retry leaves alone, by the reason; each letter has one reason at most."""
    reasons = {
        EXPIRED: Q(expires_at__lte=now),
        PROBABLY_SENT: Q(cause_verdict="probably_sent"),
        REFUSED: Q(cause_verdict="reject"),
    }
    wanted = {name: reason for name, reason in reasons.items() if name not in include}
    if EXPIRED not in wanted:
        return wanted
    return {name: reason if name == EXPIRED else reason & _is_open(now) for name, reason in wanted.items()}


def may_go(include: frozenset[str], now: datetime) -> Q:
    """The others."""
    condition = Q() if EXPIRED in include else _is_open(now)
    refused = {PROBABLY_SENT, REFUSED} - include
    return condition & ~Q(cause_verdict__in=sorted(refused)) if refused else condition


def _is_open(now: datetime) -> Q:
    # A letter without an end never closes: NULL <= now is neither true nor false, and so neither is its contrary.
    return Q(expires_at__isnull=True) | Q(expires_at__gt=now)


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _one_of(column: str) -> Callable[[Values], Q]:
    return lambda values: Q(**{f"{column}__in": list(values)})


def _code(values: Values) -> Q:
    return Q(cause_code__in=[int(value) for value in values])


def _any(one: Callable[[str], Q]) -> Callable[[Values], Q]:
    def condition(values: Values) -> Q:
        found = Q()
        for value in values:
            found |= one(value)
        return found

    return condition


def is_code(cause: str) -> bool:
    """Whether a cause is named by Meta's code."""
    # Nine digits always fit the column; a longer number is no code of Meta's.
    return cause.isascii() and cause.isdecimal() and len(cause) <= 9


def by_cause(cause: str) -> Q:
    """Meta's code, our verdict, or a part of the title."""
    if is_code(cause):
        return Q(cause_code=int(cause))
    return Q(cause_verdict=cause) | Q(cause_title__icontains=cause)


def _by_text(user: Any, text: str) -> Q:
    """As the console's search finds a word: whole ids, and what it occurs in."""
    return Q(account=text) | Q(person=text) | Q(event=text) | with_word(user, text)


def with_word(user: Any, word: str) -> Q:
    """In errors, parts of ids, and what people wrote; in each only for those who are shown it. user: None sees all."""
    in_ids = Q(source_id__icontains=word)
    if user is None or privacy.may_see_text(user):
        return in_ids | Q(error__icontains=word) | Q(payload__args__0__text__icontains=word)
    return in_ids | privacy.errors_with(user, word)


def _at_least(values: Values) -> Q:
    return Q(attempts__gte=max(int(value) for value in values))


def _at_most(values: Values) -> Q:
    return Q(attempts__lte=min(int(value) for value in values))


def _since(values: Values) -> Q:
    return Q(created_at__gte=max(_moment(value) for value in values))


def _until(values: Values) -> Q:
    return Q(created_at__lte=min(_moment(value) for value in values))


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return possible(at if at.tzinfo else at.replace(tzinfo=timezone.get_current_timezone()))


CONDITIONS: dict[str, Callable[[Values], Q]] = {
    "lane": _one_of("lane"),
    "kind": _one_of("kind"),
    "account": _one_of("account"),
    "automation": _one_of("automation"),
    "cause": _any(by_cause),
    "code": _code,
    "verdict": _one_of("cause_verdict"),
    "fingerprint": _one_of("fingerprint"),
    "title": _one_of("cause_title"),
    "attempts_from": _at_least,
    "attempts_to": _at_most,
    "since": _since,
    "until": _until,
}
