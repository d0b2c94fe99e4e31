"""Values out of a body that may hold anything: read into what can be stored, or found wanting, never trusted."""

from __future__ import annotations

import json
from typing import Any

import orjson

from automations.events import Unknown
from automations.texts import storable

PLAIN_ID_LENGTH = 64  # accounts, people, comments, media: Meta's are some 17 digits
MESSAGE_ID_LENGTH = 600  # a published one has 164 characters; an index row takes 2704 bytes
RAW_BYTES = 65_536
TOO_DEEP = b'"nested too deeply to be shown"'


class Unusable(ValueError):
    """Nothing in the whole body can be used; `reason` says why, in plain words that can be stored."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def load(body: bytes) -> Any:
    """The JSON value of the body. Raises Unusable.

    What the fast parser refuses gets a second chance: a byte-order mark, NaN, lone surrogates, numbers beyond a
    double, control characters inside a string. Either way an integer of more than 64 bits comes out as a float.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(body.decode("utf-8-sig"), strict=False, parse_int=_integer)
    except UnicodeDecodeError as error:
        raise Unusable(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise Unusable("nested too deeply") from error
    except ValueError as error:
        raise Unusable(f"not JSON: {error}") from error


def _integer(digits: str) -> int | float:
    # int() refuses text of more than 4300 digits, which would cost the whole body.
    return int(digits) if len(digits) <= 19 else float(digits)


def text(value: Any) -> str:
    """A storable string; "" for anything that is not a string."""
    return storable(value) if type(value) is str else ""


def identifier(value: Any, longest: int = PLAIN_ID_LENGTH) -> str:
    """An id as a string, integers in decimals; "" for anything that cannot be one (floats and booleans included)."""
    if type(value) is int:
        value = str(value)
    if type(value) is not str or len(value) > longest:
        return ""
    return storable(value)


def mapping(value: Any) -> dict[str, Any]:
    """An object; {} for anything that is not one."""
    return value if type(value) is dict else {}


def milliseconds(value: Any) -> int | None:
    """A stamp as milliseconds; ten digits are seconds (FACTS section 4, units), thirteen milliseconds, else None."""
    if type(value) is str and len(value) <= 13 and value.isascii() and value.isdigit():
        value = int(value)
    if type(value) is not int:
        return None
    if 10**12 <= value < 10**13:
        return value
    return value * 1000 if 10**9 <= value < 10**10 else None


def unknown(reason: str, piece: Any) -> Unknown:
    """This part of the body as something nobody here can read; the part is kept as JSON, cut to 64 KiB."""
    # A copy: orjson's own bytes keep a buffer of kilobytes, which a body of a million zeros would make gigabytes.
    return Unknown(reason, bytes(memoryview(raw(piece))[:RAW_BYTES]))


def names(piece: dict[str, Any], without: frozenset[str]) -> str:
    """The keys of an object that are worth telling, in a line of bounded length."""
    return storable(", ".join(sorted(piece.keys() - without)))[:200] or "an empty object"


def raw(piece: Any) -> bytes:
    """The piece as JSON, whatever it holds."""
    try:
        return orjson.dumps(piece)
    except TypeError:  # a lone surrogate, or more than 254 levels
        pass
    try:
        return json.dumps(piece).encode()
    except RecursionError:
        return TOO_DEEP
