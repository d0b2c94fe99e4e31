"""What a text says, as the tokens that keywords are compared by: case, accents and look-alike forms are folded away.

A token is a word, an emoji or, where asked for, a symbol:

1. An emoji is one grapheme cluster (a flag, a family, a keycap). Its variation selectors and skin tones are dropped, so
   that a keyword without them is found: 👍🏽 reads as 👍, ❤️ as ❤. ™, © and ‼ are emoji too.
2. Invisible characters (zero-width, bidirectional, soft hyphens) count as nothing, not as separators.
3. What remains is NFKC, case-folded, and loses its accents: the combining marks of Latin, Greek and Cyrillic, Hebrew
   points, Arabic vowel signs and tatweel. The vowel signs of Indic scripts and Thai are letters and stay.
4. A word is a run of letters and digits with their marks. In scripts written without spaces (Han, kana, Thai, Lao,
   Khmer, Myanmar) each letter with its marks is a word of its own, so that 链接 is found inside 请给我链接谢谢.
5. Everything else separates: punctuation, `_`, `#`, `@`. `words_and_symbols` keeps these, one token a character.
"""

from __future__ import annotations

import re
import unicodedata

import regex

# Meta takes 1,000 bytes in a message and 2,200 characters in a comment; a longer text is no text of a person.
LOOKED_AT_CHARACTERS = 10_000

_EMOJI = regex.compile(
    r"""(
    \p{RI}\p{RI}
    | [0-9#*]\uFE0F?\u20E3
    | \p{ExtPict}[\uFE0E\uFE0F\p{EMod}]*\u20E3?[\U000E0020-\U000E007F]*
      (?:\u200D\p{ExtPict}[\uFE0E\uFE0F\p{EMod}]*)*
    )""",
    regex.VERBOSE,
)
_EMOJI_VARIATION = regex.compile(r"[\uFE0E\uFE0F\p{EMod}]+")

_INVISIBLE = regex.compile(r"\p{Default_Ignorable_Code_Point}+")
# Normalising sorts a letter's marks in quadratic time; nobody writes more than 30 (Unicode's Stream-Safe Text Format).
_TOO_MANY_MARKS = regex.compile(r"(?<=\p{M}{30})\p{M}+")
_ACCENTS = regex.compile(
    "["
    r"\u0300-\u036F\u1AB0-\u1AFF\u1DC0-\u1DFF\u20D0-\u20FF\uFE20-\uFE2F"  # Latin, Greek, of symbols
    r"\u0483-\u0489\u2DE0-\u2DFF\uA66F-\uA67D"  # Cyrillic
    r"\u0591-\u05BD\u05BF\u05C1\u05C2\u05C4\u05C5\u05C7"  # Hebrew
    r"\u0610-\u061A\u0640\u064B-\u065F\u0670\u06D6-\u06DC\u06DF-\u06E4\u06E7\u06E8\u06EA-\u06ED\u08CA-\u08E1\u08E3-\u08FF"
    "]+"
)
# Letters that people write without their stroke or as two, and that no normal form takes apart.
_PLAIN = str.maketrans(
    dict(zip("\N{LATIN SMALL LETTER DOTLESS I}ȷłøđðħŧ", "ijloddht", strict=True))
    | {"þ": "th", "æ": "ae", "œ": "oe"}
    | {"\N{MODIFIER LETTER APOSTROPHE}": "'", "\N{MODIFIER LETTER TURNED COMMA}": "'"}
)

_UNSPACED = r"[[\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Line_Break=SA}ー]&&[\p{L}\p{Nl}]]"
_WORD = rf"{_UNSPACED}\p{{M}}*|[[\p{{L}}\p{{M}}\p{{Nd}}\p{{Nl}}]--{_UNSPACED}]+"
_WORDS = regex.compile(_WORD, regex.V1)
_WORDS_AND_SYMBOLS = regex.compile(rf"{_WORD}|[^\s\p{{Cc}}\p{{Cs}}]", regex.V1)
_ASCII_WORDS = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """The words and emoji of the text in their order. Takes any string."""
    text = _looked_at(text)
    if text.isascii():
        return _ASCII_WORDS.findall(text.lower())
    return _tokens(text, _WORDS)


def words_and_symbols(text: str) -> list[str]:
    """As `words`, and each symbol between them is a token too."""
    return _tokens(_looked_at(text), _WORDS_AND_SYMBOLS)


def keyword_tokens(keyword: str) -> tuple[str, ...]:
    """The tokens a text must hold, one after the other, to hold the keyword; none when nothing is left of it.

    Symbols beside letters or emoji are ornament: `#link` and `Link!` are the word link. A keyword without letters is
    taken as it is written: `+1`, `24/7`, `100%`, `$`, `???`. `???` is found in `????`, `$` in `$5`, `+1` not in `1`.
    """
    plain = tuple(words(keyword))
    if any(not token.isdecimal() for token in plain):
        return plain
    return tuple(words_and_symbols(keyword))


def _looked_at(text: str) -> str:
    if len(text) <= LOOKED_AT_CHARACTERS:
        return text
    # Without its last, perhaps cut, word: "links" must not become "link".
    return "".join(text[:LOOKED_AT_CHARACTERS].rsplit(maxsplit=1)[:1])


def _tokens(text: str, pattern: regex.Pattern[str]) -> list[str]:
    tokens: list[str] = []
    for index, part in enumerate(_EMOJI.split(text)):
        if index % 2:
            tokens.append(_EMOJI_VARIATION.sub("", part))
        elif part:
            tokens += _in_ascii(part, pattern) if part.isascii() else pattern.findall(_folded(part))
    return tokens


def _in_ascii(part: str, pattern: regex.Pattern[str]) -> list[str]:
    """As after folding, of which nothing but the case applies to ASCII."""
    folded = part.lower()
    return _ASCII_WORDS.findall(folded) if pattern is _WORDS else pattern.findall(folded)


def _folded(text: str) -> str:
    text = _TOO_MANY_MARKS.sub("", _INVISIBLE.sub("", text))
    text = unicodedata.normalize("NFKC", text).casefold()
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text)).translate(_PLAIN)
