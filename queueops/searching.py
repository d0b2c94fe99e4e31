"""What a search of a list means: first the columns that know a whole value by an index, then words within texts.

Asked all at once, no index answers `account = x OR person = x OR error LIKE x`. So each column is asked by itself,
cheaply, whether it knows the value, and the list is narrowed by those that do. Only what no column knows is looked for
in texts, and there among the newest rows only (`queueops.bounded`). See docs/adr/0035-searching-a-million-rows.md.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.text import smart_split, unescape_string_literal

EXACT = "__exact"
MOST_WORDS = 8
MOST_CHARACTERS = 200
# So many of the newest hits of a text are listed.
MOST_FOUND = 500


def known_by(rows: QuerySet[Any], fields: Iterable[str], term: str) -> Q | None:
    """The condition by whole values, or None when no column knows this one. fields: `account__exact`, …"""
    lookups = [field for field in fields if field.endswith(EXACT)]
    hits = [Q(**{lookup: term}) for lookup in lookups if rows.filter(**{lookup: term}).order_by()[:1].exists()]
    return reduce(operator.or_, hits) if hits else None


def cleaned(text: str) -> str:
    """As it may be asked for: PostgreSQL refuses NUL, and no id or word is longer."""
    return text.replace("\x00", "").strip()[:MOST_CHARACTERS]


def by_words(term: str, of_word: Callable[[str], Q]) -> Q:
    """Every word (or "some words" in quotes) has to occur somewhere."""
    return reduce(operator.and_, map(of_word, words(term)[:MOST_WORDS]), Q())


def words(text: str) -> list[str]:
    """The words of what somebody looks for; "some words" in quotes are one."""
    return [word for bit in smart_split(text) if (word := _unquoted(bit))]


def _unquoted(bit: str) -> str:
    is_quoted = len(bit) > 1 and bit[0] in "\"'" and bit[0] == bit[-1]
    return unescape_string_literal(bit) if is_quoted else bit


def key_of_last(ordered: QuerySet[Any], most: int) -> Any:
    """The key of the last of the first `most` rows; None when there are no others. Read from an index alone."""
    keys = list(ordered.values_list("pk", flat=True)[most - 1 : most + 1])
    return keys[0] if len(keys) > 1 else None


def newest_found(rows: QuerySet[Any], text: Q) -> list[Any]:
    """The keys of the newest rows with the text: found once, for counting and showing both."""
    return list(rows.filter(text).order_by("-pk").values_list("pk", flat=True)[:MOST_FOUND])
