from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.actions import (
    DirectMessage,
    PostbackButton,
    PrivateReply,
    PublicReply,
    QuickReply,
    UrlButton,
)
from automations.replies import ActionError, parse_action

YES = {"title": "Yes, send it", "payload": "FLOW_42_STEP_2_YES"}
SHOP = {"type": "web_url", "title": "Shop", "url": "https://example.com/?u={{username}}"}
MORE = {"type": "postback", "title": "More", "payload": "MORE"}


@pytest.mark.parametrize(
    ("value", "action"),
    [
        ({"type": "dm", "text": "Hi {{ Username | there }}"}, DirectMessage(text="Hi {{ Username | there }}")),
        (
            {"type": "dm", "text": "Hi", "quick_replies": [YES]},
            DirectMessage(text="Hi", quick_replies=(QuickReply("Yes, send it", "FLOW_42_STEP_2_YES"),)),
        ),
        (
            {"type": "dm", "text": "Hi", "buttons": [SHOP, MORE]},
            DirectMessage(
                text="Hi",
                buttons=(
                    UrlButton("Shop", "https://example.com/?u={{username}}"),
                    PostbackButton("More", "MORE"),
                ),
            ),
        ),
        ({"type": "private_reply", "text": "Hi"}, PrivateReply(text="Hi")),
        (
            {"type": "private_reply", "text": "Hi", "buttons": [MORE]},
            PrivateReply(text="Hi", buttons=(PostbackButton("More", "MORE"),)),
        ),
        ({"type": "public_reply", "text": "Sent you a DM!"}, PublicReply(texts=("Sent you a DM!",))),
        ({"type": "public_reply", "texts": ["One", "Two"]}, PublicReply(texts=("One", "Two"))),
        ({"type": "dm", "text": "é" * 5000}, DirectMessage(text="é" * 5000)),
        ({"type": "private_reply", "text": "é" * 500}, PrivateReply(text="é" * 500)),
        ({"type": "dm", "text": "a { b } }} {"}, DirectMessage(text="a { b } }} {")),
    ],
)
def test_it_reads_every_action(value, action):
    assert parse_action(value) == action


def dm(**fields):
    return {"type": "dm", "text": "Hi", **fields}


def button(**fields):
    return dm(buttons=[{**SHOP, **fields}])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "an action must be an object"),
        ("dm", "an action must be an object"),
        ([], "an action must be an object"),
        ({}, "type must be one of dm, private_reply, public_reply, not None"),
        ({"type": "sms", "text": "Hi"}, "not 'sms'"),
        ({"type": ["dm"], "text": "Hi"}, "type must be one of"),
        ({"type": "dm"}, "text must be a text that is not empty"),
        (dm(text=" \n"), "text must be a text that is not empty"),
        (dm(text=5), "text must be a text"),
        (dm(txt="Hi"), "'txt' is not known here; the fields are type, text, quick_replies, buttons"),
        (dm(texts=["Hi"]), "'texts' is not known here"),
        (dm(text="\ud83d"), "half a character"),
        (dm(text="a\x00"), "NUL"),
        (dm(text="x" * 10_001), "text has 10001 characters; a message takes at most 10000"),
        (dm(text="Hi {{name}}"), r"text: {{name}} is not known; the variables are {{username}}, {{account}}, {{text}}"),
        (dm(text="Hi {{}}"), "is not known; the variables are"),
        (dm(text="Hi {{username} and more text here"), "“{{username} and more” is no complete variable"),
        (dm(quick_replies=[]), "quick_replies must be a list of 1 to 13"),
        (dm(quick_replies=[YES] * 14), "quick_replies must be a list of 1 to 13"),
        (dm(quick_replies=YES), "quick_replies must be a list"),
        (dm(quick_replies=["Yes"]), "quick_replies 1 must be an object"),
        (dm(quick_replies=[YES, {"title": "x" * 21, "payload": "P"}]), "quick_replies 2: title has 21 characters"),
        (dm(quick_replies=[{"title": "Yes"}]), "quick_replies 1: payload must be a text"),
        (dm(quick_replies=[{**YES, "content_type": "text"}]), "quick_replies 1: 'content_type' is not known"),
        (dm(quick_replies=[{"title": "{{text}}", "payload": "P"}]), "title cannot hold variables"),
        (dm(quick_replies=[YES], buttons=[SHOP]), "make them two actions"),
        (dm(buttons=[]), "buttons must be a list of 1 to 3"),
        (dm(buttons=[SHOP] * 4), "buttons must be a list of 1 to 3"),
        (dm(buttons=[SHOP], text="x" * 641), "text has 641 characters; beside buttons Instagram takes at most 640"),
        (button(type="call"), "buttons 1: type must be one of web_url, postback, not 'call'"),
        (button(title="x" * 21), "buttons 1: title has 21 characters; Instagram shows at most 20"),
        (button(payload="P"), "buttons 1: 'payload' is not known here; the fields are type, title, url"),
        (button(url="javascript:alert(1)"), "buttons 1: url must be a whole address"),
        (button(url="//example.com"), "url must be a whole address"),
        (button(url="example.com"), "url must be a whole address"),
        (button(url="https://"), "url must be a whole address"),
        (button(url="https://example.com/a b"), "url must be a whole address"),
        (button(url="https://example.com/\n"), "url must be a whole address"),
        (button(url="https://[::1"), "url is no address"),
        (button(url="https://{{text}}/"), "variables may stand only behind the host"),
        (button(url="https://example.com{{text}}"), "variables may stand only behind the host"),
        (button(url="https://example.com\\{{text}}"), "variables may stand only behind the host"),
        (button(url="https://example.com/{{nobody}}"), "buttons 1: url: {{nobody}} is not known"),
        ({"type": "private_reply", "text": "é" * 501}, "text has 1002 bytes in UTF-8; a private reply is one message"),
        ({"type": "private_reply", "text": "x" * 641, "buttons": [MORE]}, "at most 640"),
        ({"type": "private_reply", "text": "Hi", "quick_replies": [YES]}, "'quick_replies' is not known here"),
        ({"type": "public_reply"}, "text must be a text"),
        ({"type": "public_reply", "texts": []}, "texts must be a list with at least one text"),
        ({"type": "public_reply", "texts": "Hi"}, "texts must be a list"),
        ({"type": "public_reply", "texts": ["Hi", ""]}, "text must be a text that is not empty"),
        ({"type": "public_reply", "text": "Hi", "texts": ["Hi"]}, "not both"),
        ({"type": "public_reply", "text": "x" * 2201}, "text has 2201 characters; a comment takes at most 2200"),
    ],
)
def test_it_refuses_and_says_what_to_change(value, message):
    with pytest.raises(ActionError) as refused:
        parse_action(value)
    assert message in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "text", "texts", "title", "payload", "url", "buttons", "quick_replies"]),
            inner | st.sampled_from(["dm", "private_reply", "public_reply", "web_url", "postback", "{{", "http://["]),
        )
    ),
)


@given(JSON)
def test_whatever_the_json_it_is_an_action_or_an_action_error(value):
    try:
        result: object = parse_action(value)
    except ActionError as error:
        result = error
    assert isinstance(result, DirectMessage | PrivateReply | PublicReply | ActionError)
    assert str(result).encode(), "the message can be shown and stored"
