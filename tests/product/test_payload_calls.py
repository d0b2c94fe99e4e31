"""For every body that Meta may send: what we answer, and exactly which calls the Graph API gets, with the demo rules.

Through HTTP, the lanes, the real worker and the fake Graph API.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PAYLOADS = Path(__file__).resolve().parent.parent / "payloads"

SHOP = "17841456778752687"
STUDIO = "17841405726653026"
PERSON = "8422491661125971"

OFFER = "Here you go: https://example.com/offer"
LINK = "Here is the link you asked for: https://example.com/offer"

Call = tuple[str, dict[str, Any]]


def dm(text: str) -> list[Call]:
    return [(f"{SHOP}/messages", {"recipient": {"id": PERSON}, "message": {"text": text}})]


def private_reply(comment: str) -> list[Call]:
    return [(f"{STUDIO}/messages", {"recipient": {"comment_id": comment}, "message": {"text": LINK}})]


def both_replies(comment: str) -> list[Call]:
    return [*private_reply(comment), (f"{comment}/replies", {"message": "Sent you a DM!"})]


@dataclass(frozen=True)
class Expected:
    """The answer's counts, and the calls that follow."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    calls: tuple[Call, ...] = ()


def answered(calls: list[Call], accepted: int = 1, duplicate: int = 0, ignored: int = 0) -> Expected:
    return Expected(accepted, duplicate, ignored, tuple(calls))


NOTHING = Expected()
UNANSWERED = Expected(accepted=1)  # kept and looked at; no rule asks for an answer
IGNORED = Expected(ignored=1)  # recognised, or unusable: counted, never answered

EXPECTED = {
    "dm_text_unicode_escaped.json": answered(dm(OFFER)),
    "dm_image.json": UNANSWERED,
    "dm_video.json": UNANSWERED,
    "dm_file.json": UNANSWERED,
    "dm_share_legacy.json": UNANSWERED,
    "dm_ig_post.json": UNANSWERED,
    "dm_share_url_only.json": UNANSWERED,
    "dm_story_mention.json": answered(dm("Thanks for the mention!")),
    "dm_story_share.json": UNANSWERED,
    "dm_story_reply.json": answered(dm("Our prices: https://example.com/prices")),
    "dm_inline_reply.json": UNANSWERED,
    "dm_quick_reply.json": answered(dm("On its way: https://example.com/offer")),
    "dm_ad_referral.json": UNANSWERED,
    "dm_unsupported.json": IGNORED,
    "dm_no_text_no_attachments.json": UNANSWERED,
    "dm_echo.json": IGNORED,
    "dm_echo_keyword_loop.json": IGNORED,
    "dm_echo_deleted.json": IGNORED,
    "dm_reaction.json": IGNORED,
    "dm_unreact.json": IGNORED,
    "dm_postback_icebreaker.json": UNANSWERED,
    "dm_postback_generic_template.json": UNANSWERED,
    "dm_postback_standby_no_payload.json": IGNORED,
    "dm_read_seen.json": IGNORED,
    "dm_message_edit_num_edit_0.json": IGNORED,
    "dm_optin.json": IGNORED,
    "handover_pass_thread_control.json": IGNORED,
    "handover_request_thread_control.json": IGNORED,
    "dm_standby_text.json": IGNORED,
    "comment_feed.json": answered(both_replies("17919697626119712")),
    "comment_reply_parent_id.json": UNANSWERED,
    "comment_ad.json": answered(both_replies("17919697626119715")),
    "comment_flat_ig_login.json": answered(both_replies("17919697626119717")),
    "comment_self.json": IGNORED,
    "comment_no_from.json": answered(both_replies("17919697626119720")),
    "comment_no_text.json": UNANSWERED,
    "live_comment.json": answered(private_reply("17919697626119722")),
    "mention_media.json": UNANSWERED,
    "story_insights.json": IGNORED,
    "changes_messages_test_event.json": IGNORED,
    "messaging_test_event_fb_login.json": IGNORED,
    "changes_messages_real_shape.json": answered(dm(OFFER)),
    "changed_fields_only.json": IGNORED,
    "changes_unknown_field.json": IGNORED,
    "messaging_unknown_event.json": IGNORED,
    "top_level_array.json": UNANSWERED,
    "batch_mixed.json": answered(
        [*dm(OFFER), *both_replies("17919697626119730"), *both_replies("17919697626119731")], accepted=5, ignored=4
    ),
    "batch_duplicates.json": answered([*dm(OFFER), *both_replies("17919697626119730")], accepted=2, duplicate=2),
    "batch_redelivery_same_mid_new_entry_time.json": answered(dm(OFFER)),
    "batch_one_bad_among_good.json": Expected(accepted=2, ignored=2),
    "batch_1000_comments.json": answered(
        [call for n in range(1000) for call in both_replies(str(17919697627000000 + n))], accepted=1000
    ),
    "unknown_account.json": UNANSWERED,
    "empty_body.txt": IGNORED,
    "truncated.txt": IGNORED,
    "invalid_utf8.txt": IGNORED,
    "bom_utf8.json": answered(dm(OFFER)),
    "object_page.json": IGNORED,
    "object_missing.json": IGNORED,
    "entry_missing.json": IGNORED,
    "entry_empty.json": NOTHING,
    "entry_not_list.json": IGNORED,
    "messaging_not_list.json": Expected(ignored=2),
    "json_scalar.json": IGNORED,
    "deep_nesting.json": IGNORED,
    "huge_text.json": UNANSWERED,
    "over_django_limit.json": UNANSWERED,
    "unicode_emoji.json": answered([*dm(OFFER), *both_replies("17919697626119750")], accepted=2),
    "lone_surrogate.json": UNANSWERED,
    "null_fields.json": Expected(ignored=4),
    "ints_as_ids.json": Expected(accepted=2),
    "injection_text.json": Expected(accepted=2),
    "many_entries_empty.json": NOTHING,
}


def test_the_table_has_every_file():
    assert sorted(EXPECTED) == sorted(path.name for path in PAYLOADS.iterdir() if path.suffix in {".json", ".txt"})


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_body_of_metas_leads_to_exactly_these_calls(stack, name):
    expected = EXPECTED[name]

    status, answer = stack.post((PAYLOADS / name).read_bytes())

    assert status == 200
    assert answer == {
        "accepted": expected.accepted,
        "duplicate": expected.duplicate,
        "ignored": expected.ignored,
    }
    counts = stack.settle()
    assert sorted(stack.calls(), key=repr) == sorted(expected.calls, key=repr)
    assert (counts.completed, counts.unexplained) == (expected.accepted, 0)


def test_a_private_reply_goes_out_before_the_public_one_that_speaks_of_it(stack):
    stack.post((PAYLOADS / "comment_feed.json").read_bytes())
    stack.settle()

    assert [path for path, _ in stack.calls()] == [f"{STUDIO}/messages", "17919697626119712/replies"]


def test_a_redelivery_in_another_batch_is_the_same_event(stack):
    stack.post((PAYLOADS / "batch_mixed.json").read_bytes())
    _, answer = stack.post((PAYLOADS / "batch_redelivery_same_mid_new_entry_time.json").read_bytes())

    assert answer == {"accepted": 0, "duplicate": 1, "ignored": 0}
    stack.settle()
    assert len(stack.calls()) == 5
