"""Text as people see it: whole characters (grapheme clusters), which no limit may cut through."""

from __future__ import annotations

import re

import regex

_CHARACTER = regex.compile(r"\X")
# NUL, and surrogates that stand alone (a string of Python's holds no others).
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_SENTENCE_ENDS = frozenset(".!?…؟।")
_SENTENCE_ENDS_WITHOUT_SPACE = frozenset("。\N{FULLWIDTH EXCLAMATION MARK}\N{FULLWIDTH QUESTION MARK}")


def storable(text: str) -> str:
    """The text with U+FFFD for what PostgreSQL and UTF-8 refuse: NUL and lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def cut(text: str, limit: int) -> str:
    """The first `limit` code points, fewer where that would cut through a character.

    A single character longer than the limit (a letter under hundreds of marks) is cut all the same.
    """
    if len(text) <= limit:
        return text
    head = text[:limit]
    if head.isascii() and text[limit].isascii():
        return head
    last_start = 0
    for character in _CHARACTER.finditer(text, 0, limit + 1):
        if character.end() == limit:
            return head
        last_start = character.start()
    return text[:last_start] or head


def split_text(text: str, limit: int = 1000) -> list[str]:
    """The text in pieces of at most `limit` bytes of UTF-8 (FACTS section 5), none for an empty text.

    Cuts after a sentence where one ends in the second half of a piece, else between words, else between characters;
    only the white space at a cut is lost. Raises ValueError when one character alone is over the limit.
    """
    if 4 * len(text) <= limit or len(text.encode(errors="surrogatepass")) <= limit:
        return [text] if text else []
    characters: list[str] = _CHARACTER.findall(text)
    pieces: list[str] = []
    start = 0
    while start < len(characters):
        end = _fitting_end(characters, start, limit)
        stop = end if end == len(characters) else _best_cut(characters, start, end)
        after = stop
        while after < len(characters) and characters[after].isspace():
            after += 1
        while stop > start and stop < len(characters) and characters[stop - 1].isspace():
            stop -= 1
        if stop > start:
            pieces.append("".join(characters[start:stop]))
        start = after
    return pieces


def _fitting_end(characters: list[str], start: int, limit: int) -> int:
    """The first index that no longer fits into a piece which begins at `start`."""
    size = 0
    for index in range(start, len(characters)):
        size += len(characters[index].encode(errors="surrogatepass"))
        if size > limit:
            if index == start:
                raise ValueError(f"One character of the text is longer than {limit} bytes; remove it.")
            return index
    return len(characters)


def _best_cut(characters: list[str], start: int, end: int) -> int:
    """Where a piece from `start` that must stop at `end` reads best when it stops: see `split_text`."""
    word_cut = 0
    for index in range(end, start, -1):
        if _ends_sentence(characters, index) and index - start >= (end - start) // 2:
            return index
        if not word_cut and characters[index].isspace():
            word_cut = index
    return word_cut or end


def _ends_sentence(characters: list[str], index: int) -> bool:
    before, after = characters[index - 1], characters[index]
    return (
        before in _SENTENCE_ENDS_WITHOUT_SPACE
        or (before in _SENTENCE_ENDS and after.isspace())
        or after in ("\n", "\r\n")
    )
