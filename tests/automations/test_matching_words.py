from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from automations.matching import Rule, RuleSet, Subject
from automations.words import LOOKED_AT_CHARACTERS, keyword_tokens, words, words_and_symbols

FAMILY = "👩\u200d👩\u200d👧\u200d👦"


def is_found(keyword: str, text: str, match: str = "contains") -> bool:
    rule = Rule(id="1", name="r", trigger="dm", media_id="", match=match, keywords=(keyword,), actions=(), priority=0)
    return RuleSet([rule]).decide(Subject(text=text)).rule is rule


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("link", "LINK!"),
        ("link", "#link"),
        ("link", "link/please"),
        ("link", "(link)"),
        ("link", "get_link_now"),
        ("link", "@link"),
        ("#Link", "the link"),
        ("LINK!", "link"),
        ("link", "ＬＩＮＫ"),
        ("link", "Ｌİ\u200bNK"),
        ("link", "\u200bLINK"),
        ("link", "\u202eLINK\u202c"),
        ("link", "li\u00adnk"),
        ("link", "𝓛𝓲𝓷𝓴 please"),
        ("link", "ⓛⓘⓝⓚ"),
        ("link", "link\x00please"),
        ("link", "link\ud83d"),
        ("link", "l\u0336i\u0336n\u0336k\u0336"),
        ("link", "link🔥"),
        ("sale", "Sale™"),
        ("straße", "STRASSE"),
        ("strasse", "große Straße"),
        ("cafe", "Café"),
        ("café", "cafe\u0301"),
        ("lodz", "ŁÓDŹ"),
        ("kobenhavn", "København"),
        ("oeuvre", "œuvre"),
        ("ışık", "ISIK"),
        ("istanbul", "İSTANBUL"),
        ("ΟΔΟΣ", "οδός"),
        ("цена", "ЦЕНА?"),
        ("еще", "ещё"),
        ("שלום", "שָׁלוֹם"),
        ("السعر", "السِّعْر"),
        ("السعر", "الســـعر"),
        ("لینک", "لینک؟"),
        ("लिंक", "लिंक?"),
        ("링크", "링크 주세요"),
        ("링크", unicodedata.normalize("NFD", "링크")),
        ("链接", "请给我链接谢谢"),
        ("価格", "この価格は？"),
        ("リンク", "ﾘﾝｸください"),
        ("ลิงก์", "ขอลิงก์หน่อย"),
        ("តម្លៃ", "សូមតម្លៃបង"),
        ("link", "请给我link谢谢"),
        ("send me", "please SEND   me, now"),
        ("don't", "I DON’T know"),
        ("м'ята", "м\u02bcята"),
        ("❤️", "love it ❤"),
        ("❤", "❤️❤️"),
        ("👍", "ok👍🏽"),
        ("👍🏿", "👍"),
        ("🇩🇪", "🇫🇷🇩🇪"),
        ("1️⃣", "take 1\u20e3"),
        (FAMILY, f"we are {FAMILY}!"),
        ("🔥 link", "🔥🔥 Link"),
        ("+1", "+1 please"),
        ("+1", "＋１"),
        ("???", "what?????"),
        ("$", "is it $5?"),
        ("100%", "100 % sure"),
        ("24/7", "open 24/7?"),
    ],
)
def test_it_finds_a_keyword_however_people_write_it(keyword, text):
    assert is_found(keyword, text)


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("link", "links"),
        ("link", "blink"),
        ("link", "link2"),
        ("link", "2link"),
        ("link", "LіNK"),
        ("link", "l-ink"),
        ("link", ""),
        ("send me", "send to me"),
        ("send me", "send"),
        ("链接", "链和接"),
        ("か", "が"),
        ("น", "น้ำ"),
        ("कम", "काम"),
        ("링크", "블링크"),
        ("❤️", "❤️\u200d🔥"),
        ("👩", FAMILY),
        ("🇪🇫", "🇩🇪🇫🇷"),
        ("1", "1️⃣"),
        ("+1", "1"),
        ("+1", "+10"),
        ("24/7", "24 7"),
        ("???", "what??"),
        ("", "anything"),
        ("  ", "any thing"),
        ("\u200b", "\u200b"),
        ("\u0301", "e\u0301"),
    ],
)
def test_it_does_not_find_what_is_only_part_of_something_else(keyword, text):
    assert not is_found(keyword, text)


@pytest.mark.parametrize(
    ("keyword", "text", "is_exact"),
    [
        ("link", "  LINK!! ", True),
        ("link", "link please", False),
        ("the link", "The #link", True),
        ("❤️", "❤", True),
        ("❤️", "❤️❤️", False),
        ("???", "? ? ?", True),
        ("???", "????", False),
        ("+1", "+1", True),
        ("+1", "+1!", False),
        ("1", "1!", True),
    ],
)
def test_exact_compares_the_whole_text(keyword, text, is_exact):
    assert is_found(keyword, text, match="exact") is is_exact


def test_a_keyword_without_letters_is_taken_as_it_is_written():
    assert keyword_tokens("+1") == ("+", "1")
    assert keyword_tokens("(link)") == ("link",)
    assert keyword_tokens("🔥!") == ("🔥",)
    assert keyword_tokens(" \t") == ()


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_the_short_way_for_ascii_reads_as_the_long_way_does(text):
    assert words(text) == words(text + " é")[:-1]


@given(st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "S", "Z", "C"])))
@example("\ud83d\udc4d")
@example("\u0345\u0301ΐ")
def test_it_reads_any_text_and_its_own_tokens_read_the_same(text):
    assert words(" ".join(words(text))) == words(text)
    rest = iter(words_and_symbols(text))
    assert all(word in rest for word in words(text)), "symbols stand between the words and change none"


@given(
    st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lt", "Lo", "Mn", "Nd", "Zs"])),
    st.sampled_from([str.upper, str.lower, str.swapcase, str.title, str.casefold]),
    st.sampled_from(["NFC", "NFD", "NFKC", "NFKD"]),
)
def test_case_and_normal_form_make_no_difference_in_any_script(text, recase, form):
    assert words(unicodedata.normalize(form, recase(text))) == words(text)


@pytest.mark.parametrize(
    "text",
    [
        "link " * 200_000,
        "é" * 1_000_000,
        "a" + "\u0301\u0323" * 500_000,
        "a" + "\u0301" * 5_000 + "\u0323" * 995_000,
        "\u093c\u094d" * 500_000,
        "😍\u200d" * 500_000,
        "🇩" * 1_000_000,
        "链" * 1_000_000,
        "\ufdfd" * 1_000_000,
        "\ud83d" * 1_000_000,
    ],
)
def test_a_text_of_a_million_characters_costs_little(text):
    start = time.perf_counter()
    words(text)
    words_and_symbols(text)
    assert time.perf_counter() - start < 1.0  # some 0.1 s at worst; on a machine with other work, more


def test_a_word_at_the_limit_is_left_out_rather_than_cut():
    text = "x " * (LOOKED_AT_CHARACTERS // 2 - 2) + "links"
    assert len(text) > LOOKED_AT_CHARACTERS
    assert text[:LOOKED_AT_CHARACTERS].endswith("link")
    assert not is_found("link", text)
    assert is_found("link", "link" + " " * LOOKED_AT_CHARACTERS)
