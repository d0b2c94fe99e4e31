"""Meta's JSON into typed events: every shape that FACTS section 4 documents, and whatever else may be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from automations.events import Notice, NoticeKind
from webhooks.changes import read_change
from webhooks.messaging import Item, read_messaging
from webhooks.untrusted import Unusable, identifier, load, milliseconds, names, unknown

__all__ = ["Item", "Unusable", "parse"]

CHANGED_FIELDS = Notice(NoticeKind.CHANGED_FIELDS)
ENVELOPE = frozenset({"id", "time"})


def parse(body: bytes) -> list[Item]:
    """Everything the body tells, in its order. Raises Unusable when nothing of it can be used, and nothing else.

    1. The body is one envelope, or a list of them (some of Meta's own samples are wrapped in one).
    2. An envelope's `entry` lists accounts; several entries may be of one account.
    3. An entry holds one or more of the lists in LISTS, or is itself one change (`field` and `value`).
    4. What cannot be read becomes an Unknown in its place; its neighbours are read all the same.
    """
    document = load(body)
    if type(document) is list:
        return _envelopes(document)
    return _envelope(document)


def _envelopes(documents: list[Any]) -> list[Item]:
    items: list[Item] = []
    reason = "an empty list"
    usable = False
    for document in documents:
        try:
            items += _envelope(document)
            usable = True
        except Unusable as error:
            reason = error.reason
            items.append(unknown(reason, document))
    if not usable:
        raise Unusable(reason)
    return items


def _envelope(document: Any) -> list[Item]:
    if type(document) is not dict:
        raise Unusable("the body is neither an object nor a list of objects")
    if document.get("object") != "instagram":
        raise Unusable("`object` is not instagram")
    entries = document.get("entry")
    if type(entries) is not list:
        raise Unusable("`entry` is missing or not a list")
    return [item for entry in entries for item in _entry(entry)]


def _entry(entry: Any) -> Iterator[Item]:
    if type(entry) is not dict:
        yield unknown("entry: not an object", entry)
        return
    account = identifier(entry.get("id"))
    at_ms = milliseconds(entry.get("time"))
    lists = [name for name in LISTS if name in entry]
    for name in lists:
        yield from _pieces(name, entry[name], account, at_ms)
    if "field" in entry:
        yield read_change(account, at_ms, entry)
    elif not lists and entry.keys() - ENVELOPE:
        yield unknown(f"entry: cannot read {names(entry, ENVELOPE)}", entry)


def _pieces(name: str, pieces: Any, account: str, at_ms: int | None) -> Iterator[Item]:
    if type(pieces) is not list:
        yield unknown(f"{name}: not a list", pieces)
        return
    read = LISTS[name]
    for piece in pieces:
        yield read(account, at_ms, piece)


def _messaging(account: str, at_ms: int | None, piece: Any) -> Item:
    return read_messaging(account, piece)


def _standby(account: str, at_ms: int | None, piece: Any) -> Item:
    return read_messaging(account, piece, standby=True)


def _change(account: str, at_ms: int | None, piece: Any) -> Item:
    if type(piece) is not dict:
        return unknown("changes: not an object", piece)
    return read_change(account, at_ms, piece)


def _changed_field(account: str, at_ms: int | None, piece: Any) -> Item:
    return CHANGED_FIELDS if type(piece) is str else unknown("changed_fields: not a name", piece)


LISTS: dict[str, Callable[[str, int | None, Any], Item]] = {
    "messaging": _messaging,
    "standby": _standby,
    "changes": _change,
    "changed_fields": _changed_field,
}
