"""Meta's errors in plain words: every one that we decide about is explained."""

from __future__ import annotations

import pytest

from automations import translator
from automations.graph_errors import BY_SUBCODE, TABLE, Verdict, Who
from automations.translator import explain, explain_error, explain_letter
from queueops.models import DeadLetter

META = "https://developers.facebook.com/"


@pytest.mark.parametrize(("code", "subcode"), TABLE)
def test_every_code_of_the_table_has_words_of_its_own(code, subcode):
    found = explain(code, subcode or 0)

    assert (code, subcode) in translator.WORDS
    assert found.title == TABLE[code, subcode].title
    assert found.means.endswith(".")
    assert found.do.endswith(".")
    assert found.link.startswith(META)


def test_nothing_is_explained_that_the_table_does_not_know():
    assert translator.WORDS.keys() == TABLE.keys()
    assert translator.BY_SUBCODE.keys() == BY_SUBCODE.keys()


def test_whoever_may_have_to_act_and_whatever_comes_next_has_words():
    assert translator.WHO.keys() == set(Who)
    assert translator.NEXT.keys() == set(Verdict)


@pytest.mark.parametrize(
    ("code", "subcode", "who", "words"),
    [
        (190, 463, "the account's owner", "60 days"),
        (10, 2534022, "the person", "24 hours"),
        (4, 0, "us", "all accounts together"),
        (2, 0, "nobody here: Meta", "down"),
        (80002, 99, "nobody", "as many calls"),
        (100, 2534001, "nobody", "archived"),
        (299, 0, "us", "reviewed"),
        (123456, 7, "us", "no row in our table"),
    ],
)
def test_it_says_what_it_means_and_who_must_act(code, subcode, who, words):
    found = explain(code, subcode)

    assert found.who == who
    assert words in found.means.lower()


def test_what_happens_next_is_what_was_decided_about_this_very_call():
    assert explain(190, 463).next == translator.NEXT[Verdict.NEEDS_OWNER]
    assert explain(190, 463, "retry").next == translator.NEXT[Verdict.RETRY]
    assert explain(190, 463, "of another day").next == translator.NEXT[Verdict.NEEDS_OWNER]


@pytest.mark.parametrize(("code", "subcode", "numbers"), [(190, 463, "190/463"), (4, 0, "4"), (0, 0, "")])
def test_the_numbers_are_written_as_meta_writes_them(code, subcode, numbers):
    assert explain(code, subcode).numbers == numbers


def test_an_error_without_a_code_is_explained_by_what_we_do_about_it():
    unknown = explain_error({"title": "No answer from Meta", "verdict": "probably_sent"})

    assert "no answer came back" in unknown.means
    assert "inbox" in unknown.do


@pytest.mark.parametrize("error", [None, {}, {"title": "The 24-hour window closed.", "verdict": "reject"}])
def test_reasons_of_our_own_are_words_already(error):
    assert explain_error(error) is None


def test_what_is_kept_on_a_delivery_and_on_a_dead_letter_is_explained_alike():
    letter = DeadLetter(cause_code=190, cause_subcode=463, cause_verdict="needs_owner")

    assert explain_letter(letter) == explain_error({"code": 190, "subcode": "463", "verdict": "needs_owner"})
    assert explain_letter(DeadLetter(cause_verdict="bug")) is None
