"""What must not be written anywhere, taken out of a text: by value, by shape, by context."""

from __future__ import annotations

import contextvars
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queueops import scrubbing
from queueops.scrubbing import HIDDEN, scrub, scrub_all

TEXT = "Where is my order?\nI am Maria, “room 5”, ünïcode"


@pytest.fixture(autouse=True)
def own_context():
    """What one test hides, another does not."""
    token = scrubbing._texts.set(())
    yield
    scrubbing._texts.reset(token)


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("X-Hub-Signature-256: sha256=" + "ab" * 32, "abab"),
        ("(b'x-hub-signature-256', b'sha256=" + "cd" * 32 + "')", "cdcd"),
        ("GET /me?fields=id&access_token=IGQVJabc123&x=1", "IGQVJabc123"),
        ("?hub.mode=subscribe&hub.verify_token=open-sesame&hub.challenge=1", "open-sesame"),
        ("Authorization: Bearer abcdef1234567890", "abcdef1234567890"),
        ("Authorization: Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", "9944b09199"),
        ("{'access_token': 'hush-hush-hush'}", "hush-hush"),
        ('{"client_secret": "hush-hush-hush"}', "hush-hush"),
        ("Account(token='hush-hush')", "hush-hush"),
        ("Cookie: sessionid=abcdefgh; csrftoken=ijklmnop", "ijklmnop"),
        ("connection to postgres://chatautodm:p4ss-word@10.0.0.5/db failed", "p4ss-word"),
        ("redis://:p4ss-word@10.0.0.6:6379/0", "p4ss-word"),
        ("stored gAAAAABm" + "x" * 90 + "== is not it", "xxxx"),
        ("refused: IGAAJZBxyz0123456789abcdefgh", "xyz0123"),
        ("refused: EAAGm0PX4ZCpsBAKZCxyz0123456789", "xyz0123"),
        ("null value\nDETAIL:  Failing row contains (1, Maria, my order).\nHINT: none", "Maria"),
    ],
)
def test_it_knows_a_secret_by_its_shape(text, secret):
    assert secret not in scrub(text)
    assert HIDDEN in scrub(text)
    assert scrub(scrub(text)) == scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "action=job_dead job=0f8fad5bd9cb469fa16570867728950e lane=low attempts=3 error=The access token has expired",
        "QUEUE METRICS done=10 rate=0.2/s in_flight=3 waiting: high=0 default=0 low=12",
        "17841456778752687 8422491661125971 aWdfZAG1faXRlbToxOklHTWVzc2FnZAUlE",
        "connection to redis://10.0.0.6:6379/0 and https://graph.instagram.com/v25.0/me refused",
        "token expired; OAuthException code=190 subcode=463",
    ],
)
def test_it_leaves_what_an_operator_needs(text):
    assert scrub(text) == text


def test_it_knows_the_installations_own_secrets(settings):
    settings.SECRETS = ["p4ss word!", "short", ""]
    assert scrub("login with 'p4ss word!' is short") == f"login with '{HIDDEN}' is short"


def test_it_knows_what_this_process_has_decrypted():
    scrubbing.learn("demo-token_of.somebody")
    assert scrub("sent demo-token_of.somebody to") == f"sent {HIDDEN}.{HIDDEN} to"
    assert scrub("a demo-token_offer") == "a demo-token_offer"


@pytest.mark.parametrize("form", [TEXT, repr(TEXT), json.dumps(TEXT), json.dumps(TEXT, ensure_ascii=False)])
def test_it_takes_out_what_people_wrote_however_it_is_escaped(form):
    scrubbing.hide(TEXT)
    assert "Maria" not in scrub(f"KeyError: {form} in table")
    assert scrub(f"KeyError: {form} in table").endswith("in table")


def test_it_takes_out_the_beginning_of_what_was_cut():
    scrubbing.hide(TEXT)
    assert scrub(f"no such word: {TEXT[:30]}…") == f"no such word: {HIDDEN}…"


def test_short_texts_are_ordinary_words_and_longer_ones_go_only_as_words_of_their_own():
    scrubbing.hide("line", "orders")
    assert scrub("line 3 of reorders: orders") == f"line 3 of reorders: {HIDDEN}"


def test_what_one_job_hides_does_not_concern_another():
    contextvars.copy_context().run(scrubbing.hide, "my private text")
    assert scrub("my private text") == "my private text"


def test_in_a_value_whatever_stands_behind_a_secrets_name_is_hidden():
    value = {
        "Authorization": "x",
        "deep": [{"csrfmiddlewaretoken": "y", "n": 1, "none": None}],
        "raw": b"sha1=" + b"0" * 40,
    }
    assert scrub_all(value) == {
        "Authorization": HIDDEN,
        "deep": [{"csrfmiddlewaretoken": HIDDEN, "n": 1, "none": None}],
        "raw": f"sha1={HIDDEN}",
    }


@given(st.text(min_size=21), st.text(), st.text())
def test_no_longer_text_of_somebody_survives(text, before, after):
    def scrubbed() -> str:
        scrubbing.hide(text)
        return scrub(f"{before}{text}{after}")

    assert text not in contextvars.copy_context().run(scrubbed)
