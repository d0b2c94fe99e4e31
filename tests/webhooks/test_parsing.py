from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from automations.events import (
    Comment,
    Echo,
    LiveComment,
    Mention,
    Message,
    Notice,
    NoticeKind,
    Postback,
    QuickReply,
    Referral,
    StoryMention,
    StoryReply,
    Unknown,
)
from tests.webhooks.bodies import ACCOUNT, AT_MS, PERSON, SECONDS, body, comment, direct, entry, message, payload
from webhooks.parsing import Item, Unusable, parse
from webhooks.untrusted import RAW_BYTES

WHO: dict[str, Any] = {"account": ACCOUNT, "person": PERSON, "at_ms": AT_MS}
COMMENTED: dict[str, Any] = {"account": ACCOUNT, "person": PERSON, "at_ms": SECONDS * 1000, "source_id": "c_1"}


def one(*entries: Any) -> Item:
    [item] = parse(body(*entries))
    return item


def reason(*entries: Any) -> str:
    item = one(*entries)
    assert isinstance(item, Unknown)
    return item.reason


# What an event holds


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (message(text="  LINK\n"), Message(**WHO, source_id="m_1", text="  LINK\n")),
        (message(), Message(**WHO, source_id="m_1")),
        (
            message(attachments=[{"type": "image", "payload": {"url": "https://example.com"}}, {"type": "ig_post"}]),
            Message(**WHO, source_id="m_1", attachments=("image", "ig_post")),
        ),
        (message(reply_to={"mid": "m_0"}), Message(**WHO, source_id="m_1", reply_to_mid="m_0")),
        (message(referral={"ref": "summer"}), Message(**WHO, source_id="m_1", referral_ref="summer")),
        (
            message(text="Yes", quick_reply={"payload": "YES"}),
            QuickReply(**WHO, source_id="m_1", text="Yes", payload="YES"),
        ),
        (
            message(text="price", reply_to={"story": {"id": "s_1", "url": "https://example.com"}}),
            StoryReply(**WHO, source_id="m_1", text="price", media_id="s_1"),
        ),
        (message(reply_to={"story": {}}), StoryReply(**WHO, source_id="m_1")),
        (message(attachments=[{"type": "story_mention"}]), StoryMention(**WHO, source_id="m_1")),
        (
            direct(postback={"mid": "m_1", "title": "Start", "payload": "GO", "referral": {"ref": "bio"}}),
            Postback(**WHO, source_id="m_1", text="Start", payload="GO", referral_ref="bio"),
        ),
        (direct(postback={"mid": "m_1"}), Postback(**WHO, source_id="m_1")),
        (
            direct(referral={"ref": "bio", "source": "SHORTLINK", "type": "OPEN_THREAD"}),
            Referral(**WHO, source_id=f"{PERSON}:{AT_MS}:bio", payload="bio"),
        ),
    ],
)
def test_it_reads_a_direct_event(event: dict[str, Any], expected: Item):
    assert one(entry(messaging=[event])) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (comment(), Comment(**COMMENTED, text="LINK", username="maria.example", media_id="p_1")),
        (
            comment("live_comments"),
            LiveComment(**COMMENTED, text="LINK", username="maria.example", media_id="p_1"),
        ),
        (
            comment(
                media={"id": "ad_1", "original_media_id": "p_1", "media_product_type": "AD"},
                parent_id="c_0",
                sender={"id": PERSON},
            ),
            Comment(
                **COMMENTED,
                text="LINK",
                media_id="ad_1",
                original_media_id="p_1",
                media_product_type="AD",
                parent_id="c_0",
            ),
        ),
        (
            comment(id=None, comment_id="c_1", text=None, media=None, sender=None),
            Comment(account=ACCOUNT, person="", at_ms=SECONDS * 1000, source_id="c_1"),
        ),
        (
            {"field": "mentions", "value": {"media_id": "p_9", "comment_id": "c_9"}},
            Mention(
                account=ACCOUNT,
                person="",
                at_ms=SECONDS * 1000,
                source_id="c_9",
                media_id="p_9",
                comment_id="c_9",
            ),
        ),
        (
            {"field": "mentions", "value": {"media_id": "p_9"}},
            Mention(account=ACCOUNT, person="", at_ms=SECONDS * 1000, source_id="p_9", media_id="p_9"),
        ),
    ],
)
def test_it_reads_a_change_in_both_its_forms(change: dict[str, Any], expected: Item):
    assert one(entry(changes=[change])) == expected
    assert one(entry(**change)) == expected


@pytest.mark.parametrize("parent_id", ["p_1", "c_1"])
def test_a_parent_that_is_the_media_or_the_comment_itself_is_none(parent_id: str):
    item = one(entry(changes=[comment(parent_id=parent_id)]))
    assert isinstance(item, Comment)
    assert item.parent_id == ""


# What is never answered


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (message(is_echo=True), NoticeKind.ECHO),
        (message(is_self=True), NoticeKind.ECHO),
        (message(is_echo=True, is_deleted=True), NoticeKind.ECHO),
        (message(is_deleted=True), NoticeKind.DELETION),
        (message(is_unsupported=True), NoticeKind.UNSUPPORTED),
        (direct(sender={"id": ACCOUNT}, message={"mid": "m_1", "text": "link"}), NoticeKind.ECHO),
        (direct(sender={"id": ACCOUNT}, message={"mid": "m_1", "is_deleted": True}), NoticeKind.ECHO),
        (direct(is_self=True, postback={"mid": "m_1", "payload": "GO"}), NoticeKind.ECHO),
        (direct(sender={"id": ACCOUNT}, referral={"ref": "bio"}), NoticeKind.ECHO),
        (direct(read={"mid": "m_1"}), NoticeKind.READ),
        (direct(reaction={"mid": "m_1", "action": "unreact"}), NoticeKind.REACTION),
        (direct(message_edit={"mid": "m_1", "num_edit": 0}), NoticeKind.EDIT),
        (direct(optin={"type": "notification_messages"}), NoticeKind.OPTIN),
        (direct(pass_thread_control={}), NoticeKind.HANDOVER),
        (direct(take_thread_control={}), NoticeKind.HANDOVER),
        (direct(request_thread_control={}), NoticeKind.HANDOVER),
        (direct(app_roles={"123": ["primary_receiver"]}), NoticeKind.HANDOVER),
        ({"recipient": {"id": ACCOUNT}, "policy_enforcement": {"action": "block"}}, NoticeKind.POLICY),
        (direct(sender={"id": 12334}, recipient={"id": "23245"}, read={}), NoticeKind.TEST_EVENT),
    ],
)
def test_it_recognises_what_needs_no_answer(event: dict[str, Any], kind: NoticeKind):
    assert one(entry(messaging=[event])) == Notice(kind)


SENT = {"sender": {"id": ACCOUNT}, "recipient": {"id": PERSON}}


def test_an_echo_says_what_the_account_sent_to_whom():
    event = message(text="Here it is", is_echo=True) | SENT
    assert one(entry(messaging=[event])) == Echo(
        account=ACCOUNT, person=PERSON, source_id="m_1", at_ms=AT_MS, text="Here it is"
    )


@pytest.mark.parametrize(
    "event",
    [
        message(is_echo=True) | SENT,  # only an attachment
        message(text="x", is_echo=True, is_deleted=True) | SENT,
        message(text="x", is_echo=True, mid="") | SENT,
        message(text="x", is_echo=True) | SENT | {"timestamp": "soon"},
        message(text="x", is_echo=True) | SENT | {"recipient": {"id": ACCOUNT}},
        message(text="x", is_echo=True) | SENT | {"recipient": None},
        direct(postback={"mid": "m_1", "payload": "GO"}) | SENT,
    ],
)
def test_an_echo_that_does_not_say_so_is_only_recognised(event: dict[str, Any]):
    assert one(entry(messaging=[event])) == Notice(NoticeKind.ECHO)


@pytest.mark.parametrize("event", [message(text="link"), direct(postback={"title": "Start"}), direct(anything={})])
def test_what_another_app_handles_is_standby(event: dict[str, Any]):
    assert one(entry(standby=[event])) == Notice(NoticeKind.STANDBY)
    assert one(entry(changes=[{"field": "standby", "value": event}])) == Notice(NoticeKind.STANDBY)


@pytest.mark.parametrize("sender", [{"id": ACCOUNT}, {"id": PERSON, "self_ig_scoped_id": "1"}])
def test_the_accounts_own_comment_is_never_answered(sender: dict[str, str]):
    assert one(entry(changes=[comment(sender=sender)])) == Notice(NoticeKind.OWN_COMMENT)


@pytest.mark.parametrize("test_id", ["0", 0])
def test_whatever_comes_for_account_zero_is_the_dashboards_test(test_id: Any):
    found = parse(body(entry(id=test_id, messaging=[message()], changes=[comment(), {"field": "new", "value": 1}])))
    assert found == [Notice(NoticeKind.TEST_EVENT)] * 3


def test_each_changed_field_is_a_notice():
    found = parse(body(entry(changed_fields=["comments", "messages", 7])))
    assert found == [Notice(NoticeKind.CHANGED_FIELDS)] * 2 + [Unknown("changed_fields: not a name", b"7")]


@pytest.mark.parametrize(
    ("field", "value", "kind"),
    [
        ("message_reactions", direct(reaction={"mid": "m_1"}), NoticeKind.REACTION),
        ("messaging_seen", direct(read={"mid": "m_1"}), NoticeKind.READ),
        ("message_edit", direct(message_edit={"mid": "m_1"}), NoticeKind.EDIT),
        ("messages", message(is_echo=True), NoticeKind.ECHO),
        ("story_insights", {"media_id": "1"}, NoticeKind.STORY_INSIGHTS),
    ],
)
def test_it_recognises_messaging_events_that_come_as_changes(field: str, value: Any, kind: NoticeKind):
    assert one(entry(changes=[{"field": field, "value": value}])) == Notice(kind)


def test_it_reads_a_postback_that_comes_as_a_change():
    value = direct(postback={"mid": "m_1", "payload": "GO"})
    expected = Postback(**WHO, source_id="m_1", payload="GO")
    assert one(entry(changes=[{"field": "messaging_postbacks", "value": value}])) == expected


# Ids, stamps and texts


@pytest.mark.parametrize("bad", [None, "", 1.5, True, [], {}, 10**25, "x" * 601])
def test_a_message_without_a_usable_mid_is_unknown(bad: Any):
    assert reason(entry(messaging=[direct(message={"mid": bad})])) == "message: no usable mid"
    assert reason(entry(messaging=[direct(postback={"mid": bad})])) == "postback: no usable mid"


@pytest.mark.parametrize("bad", [None, "", "x", {"id": None}, {"id": 1e30}, {"id": "x" * 65}, {}])
def test_a_direct_event_without_a_usable_sender_is_unknown(bad: Any):
    assert reason(entry(messaging=[direct(sender=bad, message={"mid": "m"})])) == "message: no usable sender id"
    assert reason(entry(messaging=[direct(sender=bad, referral={})])) == "referral: no usable sender id"


@pytest.mark.parametrize("bad", [None, False, 1.0, ["c_1"], {}])
def test_a_comment_or_mention_without_a_usable_id_is_unknown(bad: Any):
    assert reason(entry(changes=[comment(id=bad)])) == "comment: no usable comment id"
    assert reason(entry(field="mentions", value={"media_id": bad})) == "mention: no usable media or comment id"


def test_the_recipient_is_the_account_where_the_entry_names_none():
    assert one(entry(id=None, messaging=[message()])) == Message(**WHO, source_id="m_1")


def test_what_belongs_to_no_account_is_unknown():
    assert reason(entry(id=None, messaging=[direct(recipient=None, message={"mid": "m"})])).endswith("account id")
    assert reason(entry(id=None, changes=[comment()])) == "comment: no usable account id"
    assert reason(entry(id=None, field="mentions", value={"media_id": "1"})) == "mention: no usable account id"


def test_ids_that_come_as_numbers_become_decimal_strings():
    direct_message, under_a_post = parse(payload("ints_as_ids.json"))
    assert direct_message == Message(
        account="17841456778752687", person="8422491661125971", source_id="12345", at_ms=AT_MS
    )
    assert isinstance(under_a_post, Comment)
    assert (under_a_post.source_id, under_a_post.text, under_a_post.username) == ("17919697626119712", "", "")


@pytest.mark.parametrize(
    ("stamp", "at_ms"),
    [
        (1569262485349, 1569262485349),
        ("1569262485349", 1569262485349),
        (1755779280, 1755779280000),
        ("1755779280", 1755779280000),
        (None, None),
        (1, None),
        (-1, None),
        (0, None),
        (True, None),
        (1.5, None),
        ("", None),
        ("soon", None),
        ("1" * 5000, None),
        ("١٧٥٥٧٧٩٢٨٠", None),
        (10**13, None),
        (10**11, None),
        ([], None),
    ],
)
def test_it_reads_stamps_in_seconds_and_milliseconds(stamp: Any, at_ms: int | None):
    direct_message = one(entry(messaging=[direct(timestamp=stamp, message={"mid": "m"})]))
    under_a_post = one(entry(time=stamp, changes=[comment()]))
    assert isinstance(direct_message, Message)
    assert isinstance(under_a_post, Comment)
    assert direct_message.at_ms == under_a_post.at_ms == at_ms


@pytest.mark.parametrize("wrong", [None, 7, True, ["link"], {"body": "link"}])
def test_a_text_that_is_no_string_is_empty(wrong: Any):
    assert one(entry(messaging=[message(text=wrong, attachments=wrong, reply_to=wrong, quick_reply=wrong)])) == Message(
        **WHO, source_id="m_1"
    )


def test_attachments_that_cannot_be_read_do_not_cost_the_others():
    item = one(entry(messaging=[message(attachments=[None, {"type": 3}, {}, "x", {"type": "video"}])]))
    assert item == Message(**WHO, source_id="m_1", attachments=("video",))


def test_what_the_database_refuses_is_replaced_and_nothing_else():
    written = '{"a": "nul \\u0000 lone \\ud83d pair \\ud83d\\ude00 end \\ude00 \\u202e"}'
    item = one(entry(messaging=[message(text=json.loads(written)["a"], quick_reply={"payload": "\0"})]))
    assert isinstance(item, QuickReply)
    assert item.text == "nul \ufffd lone \ufffd pair \U0001f600 end \ufffd \u202e"
    assert item.payload == "\ufffd"


def test_a_long_ref_is_kept_in_the_payload_and_cut_in_the_identity():
    item = one(entry(messaging=[direct(referral={"ref": "r" * 5000})]))
    assert isinstance(item, Referral)
    assert len(item.payload) == 5000
    assert len(item.source_id) < 300


# What nobody can read


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"messaging": [7]}, "messaging: not an object"),
        ({"messaging": [direct(brand_new={"x": 1})]}, "messaging: cannot read brand_new"),
        ({"messaging": [{}]}, "messaging: cannot read an empty object"),
        ({"messaging": [direct(message=None, read="yes")]}, "messaging: cannot read message, read"),
        ({"messaging": {}}, "messaging: not a list"),
        ({"changes": "comments"}, "changes: not a list"),
        ({"changes": [None]}, "changes: not an object"),
        ({"changes": [{"field": "comments", "value": []}]}, "comments: its value is not an object"),
        ({"changes": [{}]}, "change: its value is not an object"),
        ({"changes": [{"field": "messages", "value": 1}]}, "messaging: not an object"),
        ({"field": "new_field", "value": {}}, "change: cannot read field 'new_field'"),
        ({"hop_context": []}, "entry: cannot read hop_context"),
    ],
)
def test_it_says_what_it_cannot_read(part: dict[str, Any], expected: str):
    assert reason(entry(**part)) == expected


def test_it_keeps_the_unreadable_part_and_only_that():
    assert one(entry(messaging=[{"new": "\ud83d"}])) == Unknown("messaging: cannot read new", b'{"new": "\\ud83d"}')
    assert one("not an entry") == Unknown("entry: not an object", b'"not an entry"')


def test_it_cuts_a_long_unreadable_part():
    item = one("x" * 100_000)
    assert isinstance(item, Unknown)
    assert len(item.raw) == RAW_BYTES


def test_it_bounds_the_reason():
    assert len(reason(entry(messaging=[{"\0" * 9000: 1}]))) < 300
    assert len(reason(entry(field="f" * 9000, value={}))) < 300
    assert len(reason(entry(field="f" * 9000, value=None))) < 300


def test_it_keeps_a_deep_part_and_its_neighbours():
    deep = b"[" * 300 + b"]" * 300
    found = parse(body(entry(messaging=["deep", message()])).replace(b'"deep"', deep))
    assert found == [Unknown("messaging: not an object", deep), Message(**WHO, source_id="m_1")]


def test_it_keeps_the_neighbours_of_a_part_too_deep_to_be_written_again():
    deep = b"[" * 1000 + b"]" * 1000
    found = parse(body(entry(messaging=["deep", message()])).replace(b'"deep"', deep))
    unreadable, good = found
    assert isinstance(unreadable, Unknown)
    assert good == Message(**WHO, source_id="m_1")


# Whole bodies


@pytest.mark.parametrize(
    ("bad", "expected"),
    [
        (b"", "not JSON: "),
        (b"\0", "not JSON: "),
        (b"{}{}", "not JSON: "),
        (b'"\xff"', "not UTF-8 at byte 1"),
        ('{"object": "instagram", "entry": []}'.encode("utf-16"), "not UTF-8 at byte 0"),
        (b"[" * 100_000, "nested too deeply"),
        (b"null", "the body is neither"),
        (b"[]", "an empty list"),
        (b"[1, {}]", "`object` is not instagram"),
        (b'{"object": ["instagram"], "entry": []}', "`object` is not instagram"),
        (b'{"object": "Instagram", "entry": []}', "`object` is not instagram"),
        (b'{"object": "instagram", "entry": null}', "`entry` is missing or not a list"),
    ],
)
def test_it_says_why_a_whole_body_is_unusable(bad: bytes, expected: str):
    with pytest.raises(Unusable) as refusal:
        parse(bad)
    assert refusal.value.reason.startswith(expected)


def test_a_list_of_envelopes_is_read_though_one_of_them_is_unusable():
    good = body(entry(messaging=[message()]))
    assert parse(b"[" + good + b',{"object":"page"},' + good + b"]") == [
        Message(**WHO, source_id="m_1"),
        Unknown("`object` is not instagram", b'{"object":"page"}'),
        Message(**WHO, source_id="m_1"),
    ]


@pytest.mark.parametrize("oddity", [b"NaN", b"-Infinity", b"1e400", b"1" * 5000, b'"\x01\x00"', b'"\\ud83d"'])
def test_an_odd_value_does_not_cost_its_neighbours(oddity: bytes):
    found = parse(body(entry(time="odd", messaging=["odd", message()])).replace(b'"odd"', oddity))
    assert [type(item) for item in found] == [Unknown, Message]


def test_of_a_key_that_comes_twice_the_last_counts():
    found = parse(body(entry(messaging=[message(text="last")])).replace(b'"mid"', b'"text": "first", "mid"'))
    assert found == [Message(**WHO, source_id="m_1", text="last")]


def test_it_is_safe_deep_in_a_call_stack():
    def dive(levels: int) -> str:
        if levels:
            return dive(levels - 1)
        with pytest.raises(Unusable) as refusal:
            parse(b"[" * 5000 + b"]" * 5000)
        return refusal.value.reason

    frame, used = sys._getframe(), 0
    while frame is not None:
        frame, used = frame.f_back, used + 1  # type: ignore[assignment]
    assert dive(sys.getrecursionlimit() - used - 60) == "nested too deeply"
