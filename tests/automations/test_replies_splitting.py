from __future__ import annotations

import pytest
import regex
from hypothesis import assume, given
from hypothesis import strategies as st

from automations.replies import split_text

FAMILY = "👩\u200d👩\u200d👧\u200d👦"  # 25 bytes, one character


def characters(text):
    return regex.findall(r"\X", text)


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("", 10, []),
        ("short", 10, ["short"]),
        ("  kept  ", 10, ["  kept  "]),
        ("0123456789", 10, ["0123456789"]),
        ("01234567890", 10, ["0123456789", "0"]),
        ("one two three", 9, ["one two", "three"]),
        ("one two three", 7, ["one two", "three"]),
        ("Hello there. How are you", 20, ["Hello there.", "How are you"]),
        ("A. bcdefgh ijkl mnop", 16, ["A. bcdefgh ijkl", "mnop"]),
        ("first line\nsecond one", 18, ["first line", "second one"]),
        ("a" + " " * 30 + "b", 10, ["a", "b"]),
        (" " * 30 + "b", 10, ["b"]),
        ("éé éé", 5, ["éé", "éé"]),
        ("你好。再见吧", 13, ["你好。", "再见吧"]),
        (FAMILY * 3, 60, [FAMILY * 2, FAMILY]),
        ("🇩🇪🇫🇷", 12, ["🇩🇪", "🇫🇷"]),
        ("e\u0301e\u0301", 4, ["e\u0301", "e\u0301"]),
    ],
)
def test_it_cuts_where_a_reader_would(text, limit, pieces):
    assert split_text(text, limit) == pieces


def test_it_refuses_a_character_longer_than_the_limit():
    with pytest.raises(ValueError, match="longer than 10 bytes"):
        split_text(f"hello {FAMILY}", 10)


def test_the_limit_is_a_thousand_bytes_of_utf8():
    assert [len(piece.encode()) for piece in split_text("é" * 1001)] == [1000, 1000, 2]


PIECES = st.lists(
    st.sampled_from(["word", "longer-word", " ", "  ", "\n", "\r\n", ". ", "! ", "。", "é", "e\u0301", " \u0301", "🔥"])
    | st.sampled_from([FAMILY, "🇩🇪", "🇩", "👍🏽", "लिंक", "링크", "\ud83d", "\u200d"])
    | st.text(max_size=3)
)


@given(PIECES.map("".join), st.integers(40, 80))
def test_pieces_fit_lose_only_white_space_and_cut_no_character(text, limit):
    whole = characters(text)
    assume(all(len(character.encode(errors="surrogatepass")) <= limit for character in whole))

    pieces = split_text(text, limit)

    assert all(0 < len(piece.encode(errors="surrogatepass")) <= limit for piece in pieces)
    said = [character for character in whole if not character.isspace()]
    assert [character for piece in pieces for character in characters(piece) if not character.isspace()] == said
    position = 0
    for piece in pieces:
        found = text.index(piece, position)
        assert text[position:found].strip() == ""
        position = found + len(piece)
    assert text[position:].strip() == ""
    if len(text.encode(errors="surrogatepass")) <= limit:
        assert pieces == ([text] if text else [])
