from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.placeholders import MAX_VALUE_CHARACTERS, VARIABLES, render_url
from automations.replies import render


@pytest.mark.parametrize(
    ("template", "variables", "text"),
    [
        ("Hi {{username}}!", {"username": "maria.example"}, "Hi maria.example!"),
        ("Hi {{ username }}!", {"username": "maria.example"}, "Hi maria.example!"),
        ("Hi {{USERNAME}}!", {"username": "maria.example"}, "Hi maria.example!"),
        ("Hi {{username|there}}!", {}, "Hi there!"),
        ("Hi {{ username | there }}!", {"username": " "}, "Hi there!"),
        ("Hi {{username|there}}!", {"username": "maria.example"}, "Hi maria.example!"),
        ("Hi {{username}}!", {}, "Hi !"),
        ("Hi {{nobody}}!", {}, "Hi !"),
        ("{{text}} {{text}}", {"text": "a"}, "a a"),
        ("{{text}}", {"text": "{{username}}", "username": "maria.example"}, "{{username}}"),
        ("{{text}}{{username}}", {"text": "{{user", "username": "name}}"}, "{{username}}"),
        ("{{text}}", {"text": "%s %(x)s {0} {0.__class__} ${7*7} {% debug %} \\1 \\g<0>"}, None),
        ("{{text}}", {"text": "<b>&amp;</b> 'x' \"y\""}, None),
        ("{{text}}", {"text": "two\r\nlines\rthree"}, "two\nlines\nthree"),
        ("{{text}}", {"text": "a\x00b\x1bc\ud83dd\u202ee"}, "abcde"),
        ("{{text}}", {"text": "x" * 201}, "x" * 200),
        ("{{text}}", {"text": "x" * 199 + "👍🏽"}, "x" * 199),
        ("100 %s {0} {{", {}, "100 %s {0} {{"),
    ],
)
def test_it_inserts_values_as_they_are(template, variables, text):
    assert render(template, variables) == (variables["text"] if text is None else text)


def test_a_value_in_a_url_cannot_leave_its_place():
    url = render_url("https://example.com/p/{{username|a b}}?q={{text}}&x=1", {"text": "a&b=c/../#d é\n?"})
    assert url == "https://example.com/p/a%20b?q=a%26b%3Dc%2F..%2F%23d%20%C3%A9%0A%3F&x=1"


@given(st.text(), st.dictionaries(st.sampled_from([*VARIABLES, "other"]), st.text()))
def test_it_renders_any_template_with_any_values(template, variables):
    assert isinstance(render(template, variables), str)
    assert isinstance(render_url(template, variables), str)


@given(st.lists(st.sampled_from(["{", "}", "|", "username", "text", "%s", " "])).map("".join), st.text())
def test_a_value_is_never_read_as_a_template(value, username):
    kept = value.strip()
    assert render("<{{text}}>", {"text": value, "username": username}) == f"<{kept[:MAX_VALUE_CHARACTERS]}>"


@given(st.text())
def test_a_value_makes_a_template_no_longer_than_its_limit_and_leaves_it_encodable(value):
    text = render("{{text}}", {"text": value})
    assert len(text) <= MAX_VALUE_CHARACTERS
    assert "\x00" not in text.encode().decode()


@given(st.text(min_size=1))
def test_a_url_keeps_its_parts_whatever_is_inserted(value):
    parts = urlsplit(render_url("https://example.com/a?u={{text}}#end", {"text": value}))
    assert (parts.netloc, parts.path, parts.fragment) == ("example.com", "/a", "end")
    assert unquote(parts.query) == "u=" + render("{{text}}", {"text": value})
