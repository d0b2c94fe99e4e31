"""What must not be written anywhere: secrets, and what people wrote. The one place that takes them out of a text.

Used by the log, by Sentry and for what is kept of a failure. Three ways, because each alone would miss something:

1. By value: the installation's own secrets (`settings.SECRETS`), and whatever this process has decrypted (`learn`).
2. By shape: keys, signatures, headers, passwords in addresses, the values that a database repeats in its errors.
3. By context: what the event at hand says in people's own words (`hide`), in whole, in part, or escaped.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any

from django.conf import settings

HIDDEN = "[hidden]"
# Shorter ones are ordinary words: hiding them would make a log unreadable and keep nothing secret.
SHORTEST = 6
# So much of a text, from its beginning, is recognised as the text that somebody has cut.
BEGINNING = 20

_WORD = re.compile(r"[A-Za-z0-9_-]{6,}")
_SECRET_NAME = re.compile(r"(?i)token|secret|passw|api_?key|dsn|authorization|cookie|signature|csrf|session_?id")
# Every repetition that may fail behind its end has a limit: what people wrote may be made to be slow to search.
_SHAPES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\b(sha(?:1|256)=)[0-9a-fA-F]{16,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\b(?i:(bearer|oauth|basic)) [A-Za-z0-9._~+/=-]{12,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"\b(Token )[0-9A-Za-z]{20,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\bgAAAA[A-Za-z0-9_-]{40,}={0,2}"), HIDDEN),
    # A Fernet key, a Django secret key or the like beside its name; the name may be quoted, as in JSON or a repr.
    (
        re.compile(
            r"(?i)((?:token|secret|password|api_?key|signature)\w{0,40}(?:=|[\"']\s*[:=,]\s*)b?[\"']?)(?!\[hidden)[^\s\"'&,;)}\]]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b((?:set-)?cookie[\"']?\s*[:=,]\s*b?[\"']?)(?!\s|\[hidden)[^\"'\r\n]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,20}://[^/\s:@]*:)[^/\s@]+@"), rf"\1{HIDDEN}@"),
    # PostgreSQL repeats the row that it refuses: "Failing row contains (…)".
    (re.compile(r"(?m)^(\s*(?:DETAIL|CONTEXT):).*$"), rf"\1  {HIDDEN}"),
]

_learnt: set[bytes] = set()
_texts: ContextVar[tuple[str, ...]] = ContextVar("texts", default=())


def learn(*secrets: str) -> None:
    """Secrets that this process has come to know: never to be written by it. Only their digests are remembered."""
    _learnt.update(_digest(word) for secret in secrets for word in _WORD.findall(secret))


def hide(*texts: str) -> None:
    """What people wrote, from here on in this job or request (its context, to be exact)."""
    _texts.set((*_texts.get(), *(text for text in texts if len(text) >= SHORTEST)))


def scrub(text: str) -> str:
    """The text without what must not be written."""
    for value in _configured(tuple(settings.SECRETS)):
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _shapes(tuple(settings.SECRET_PATTERNS)):
        text = pattern.sub(replacement, text)
    if _learnt:
        text = _WORD.sub(_hidden_if_learnt, text)
    for written in _texts.get():
        text = _without(text, written)
    return text


def scrub_all(value: Any) -> Any:
    """The same for everything in a JSON-like value; whatever a secret's name stands before is hidden whole."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, bytes):
        return scrub(value.decode(errors="replace"))
    if isinstance(value, Mapping):
        return {key: _of_name(str(key), one) for key, one in value.items()}
    if isinstance(value, Iterable):
        return [scrub_all(one) for one in value]
    return value


def _of_name(name: str, value: Any) -> Any:
    return HIDDEN if isinstance(value, str) and value and _SECRET_NAME.search(name) else scrub_all(value)


def _digest(word: str) -> bytes:
    return hashlib.blake2b(word.encode(), digest_size=12).digest()


def _hidden_if_learnt(found: re.Match[str]) -> str:
    return HIDDEN if _digest(found[0]) in _learnt else found[0]


@functools.lru_cache(maxsize=4)
def _configured(secrets: tuple[str, ...]) -> list[str]:
    return sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True)


@functools.lru_cache(maxsize=4)
def _shapes(patterns: tuple[str, ...]) -> list[tuple[re.Pattern[str], str]]:
    return [*_SHAPES, *((re.compile(pattern), HIDDEN) for pattern in patterns)]


def _without(text: str, written: str) -> str:
    escaped = (repr(written)[1:-1], json.dumps(written)[1:-1], json.dumps(written, ensure_ascii=False)[1:-1])
    for form in dict.fromkeys((written, *escaped)):
        text = _without_form(text, form)
    return text


def _without_form(text: str, form: str) -> str:
    """Without the form as a word or words of its own, and without its beginning, as far as it goes."""
    beginning = form[:BEGINNING]
    if len(form) <= BEGINNING:
        return re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", HIDDEN, text)
    parts: list[str] = []
    at = 0
    while (found := text.find(beginning, at)) >= 0:
        parts += text[at:found], HIDDEN
        at = found + _common(text, found, form)
    return "".join((*parts, text[at:]))


def _common(text: str, start: int, form: str) -> int:
    """How many characters of `form` stand in `text` from `start` on."""
    n = BEGINNING
    while n < len(form) and start + n < len(text) and text[start + n] == form[n]:
        n += 1
    return n
