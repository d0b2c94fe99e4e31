from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automations.replies import Call, Refused, Target, parse_action, plan

ACCOUNT, PERSON, COMMENT, PARENT = "17841456778752687", "8422491661125971", "17919697626119750", "17919697626119000"
TARGET = Target(account=ACCOUNT, person=PERSON, comment_id=COMMENT, reply_under=PARENT)
SHOP = {"type": "web_url", "title": "Shop", "url": "https://example.com/?u={{username}}"}
MORE = {"type": "postback", "title": "More", "payload": "MORE"}
YES = {"title": "Yes, send it", "payload": "FLOW_42_STEP_2_YES"}


def planned(*actions, target=TARGET, choose=lambda texts: texts[0], **variables):
    return plan([parse_action(action) for action in actions], target, variables, choose)


def test_a_direct_message_is_the_request_meta_documents():
    assert planned({"type": "dm", "text": "Hi {{username}}"}, username="maria.example") == [
        Call(
            step=1,
            kind="dm",
            recipient=PERSON,
            path=f"{ACCOUNT}/messages",
            body={"recipient": {"id": PERSON}, "message": {"text": "Hi maria.example"}},
        )
    ]


def test_quick_replies_stand_beside_the_text():
    (call,) = planned({"type": "dm", "text": "Want the link?", "quick_replies": [YES]})
    assert call.body["message"] == {
        "text": "Want the link?",
        "quick_replies": [{"content_type": "text", "title": "Yes, send it", "payload": "FLOW_42_STEP_2_YES"}],
    }


def test_buttons_make_a_button_template():
    (call,) = planned({"type": "dm", "text": "Hi", "buttons": [SHOP, MORE]}, username="a&b")
    assert call.body["message"] == {
        "attachment": {
            "type": "template",
            "payload": {
                "template_type": "button",
                "text": "Hi",
                "buttons": [
                    {"type": "web_url", "title": "Shop", "url": "https://example.com/?u=a%26b"},
                    {"type": "postback", "title": "More", "payload": "MORE"},
                ],
            },
        }
    }


def test_a_private_reply_goes_to_the_comment_and_a_public_one_under_its_parent():
    assert planned({"type": "private_reply", "text": "The link"}, {"type": "public_reply", "text": "Sent!"}) == [
        Call(
            1,
            "private_reply",
            COMMENT,
            f"{ACCOUNT}/messages",
            {"recipient": {"comment_id": COMMENT}, "message": {"text": "The link"}},
        ),
        Call(2, "public_reply", PARENT, f"{PARENT}/replies", {"message": "Sent!"}),
    ]


def test_a_private_reply_may_have_buttons():
    (call,) = planned({"type": "private_reply", "text": "Hi", "buttons": [MORE]})
    assert call.body["recipient"] == {"comment_id": COMMENT}
    assert call.body["message"]["attachment"]["payload"]["buttons"] == [MORE]


def test_the_caller_chooses_among_the_variants_before_they_are_filled_in():
    offered = []

    def last(texts):
        offered.append(texts)
        return texts[-1]

    (call,) = planned({"type": "public_reply", "texts": ["One", "Two {{text}}"]}, choose=last, text="x")
    assert call.body == {"message": "Two x"}
    assert offered == [("One", "Two {{text}}")]


def test_a_long_direct_message_becomes_several_with_the_buttons_last():
    text = ("word " * 250).strip()
    calls = planned(
        {"type": "dm", "text": text, "quick_replies": [YES]},
        {"type": "dm", "text": "{{text}} " * 4, "buttons": [MORE]},
        {"type": "dm", "text": "end"},
        text=("long " * 40).strip(),
    )
    assert [call.step for call in calls] == [1, 2, 3, 4, 5]
    messages = [call.body["message"] for call in calls]
    assert ["quick_replies" in message for message in messages] == [False, True, False, False, False]
    assert ["attachment" in message for message in messages] == [False, False, False, True, False]
    assert f"{messages[0]['text']} {messages[1]['text']}" == text
    assert len(messages[3]["attachment"]["payload"]["text"]) <= 640
    assert messages[4] == {"text": "end"}


@pytest.mark.parametrize(
    ("action", "target", "reason"),
    [
        ({"type": "dm", "text": "Hi"}, Target(account=ACCOUNT, comment_id=COMMENT), "Meta withheld who wrote this"),
        ({"type": "private_reply", "text": "Hi"}, Target(account=ACCOUNT, person=PERSON), "There is no comment"),
        ({"type": "public_reply", "text": "Hi"}, Target(account=ACCOUNT, person=PERSON), "There is no comment"),
        ({"type": "dm", "text": "{{payload}}"}, TARGET, "the text is empty"),
        ({"type": "private_reply", "text": " {{payload}} "}, TARGET, "the text is empty"),
        ({"type": "public_reply", "text": "{{payload}}"}, TARGET, "the text is empty"),
        ({"type": "private_reply", "text": "x" * 801 + "{{text}}"}, TARGET, "has 1001 bytes; Instagram takes at most"),
        (
            {"type": "private_reply", "text": "x" * 441 + "{{text}}", "buttons": [MORE]},
            TARGET,
            "has 641 characters; Instagram takes at most 640",
        ),
        ({"type": "public_reply", "text": "x" * 2001 + "{{text}}"}, TARGET, "has 2201 characters"),
        ({"type": "dm", "text": "e" + "\u0301" * 600}, TARGET, "One character of the text is longer than 1000 bytes"),
    ],
)
def test_it_refuses_rather_than_cut_or_guess(action, target, reason):
    after = {"type": "public_reply", "text": "after"}
    refused, *rest = planned(action, after, target=target, text="y" * 500)
    assert isinstance(refused, Refused)
    assert (refused.step, refused.kind) == (1, action["type"])
    assert reason in refused.reason
    assert [item.step for item in rest] == [2], "a refusal keeps its step and stops nothing behind it"


def test_an_id_cannot_change_the_path():
    target = Target(account="1/../2", comment_id="c", reply_under="3?x=/")
    private, public = planned(
        {"type": "private_reply", "text": "Hi"}, {"type": "public_reply", "text": "Hi"}, target=target
    )
    assert (private.path, public.path) == ("1%2F..%2F2/messages", "3%3Fx%3D%2F/replies")


@given(text=st.text(max_size=400), username=st.text(max_size=50), filler=st.integers(1, 900))
def test_whatever_people_write_a_plan_is_json_within_the_limits_and_always_the_same(text, username, filler):
    actions = (
        {"type": "dm", "text": "é" * filler + " {{text}} {{username|you}}", "quick_replies": [YES]},
        {"type": "dm", "text": "x" * min(filler, 640) + "{{text}}", "buttons": [SHOP]},
        {"type": "private_reply", "text": "{{text}}{{text}}"},
    )
    items = planned(*actions, text=text, username=username)
    assert items == planned(*actions, text=text, username=username)
    assert [item.step for item in items] == list(range(1, len(items) + 1))
    for call in (item for item in items if isinstance(item, Call)):
        message = call.body["message"]
        said = message.get("text") or message["attachment"]["payload"]["text"]
        assert 0 < len(said.encode()) <= 1000
        assert json.dumps(call.body, ensure_ascii=False).encode()
