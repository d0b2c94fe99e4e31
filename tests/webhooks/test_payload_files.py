"""What every body in tests/payloads is read as, in its order."""

from __future__ import annotations

import pytest

from automations.events import Echo, Event, Notice
from tests.webhooks.bodies import PAYLOADS, payload
from webhooks.parsing import Item, Unusable, parse

UNUSABLE = ["unusable"]

TABLE: dict[str, list[str]] = {
    "batch_1000_comments.json": ["comment"] * 1000,
    "batch_duplicates.json": ["message", "message", "comment", "comment"],
    "batch_mixed.json": [
        "message", "read!", "echo", "reaction!", "comment", "comment", "mention", "standby!", "comment",
    ],
    "batch_one_bad_among_good.json": ["message", "unknown", "unknown", "message"],
    "batch_redelivery_same_mid_new_entry_time.json": ["message"],
    "bom_utf8.json": ["message"],
    "changed_fields_only.json": ["changed_fields!"],
    "changes_messages_real_shape.json": ["message"],
    "changes_messages_test_event.json": ["test_event!"],
    "changes_unknown_field.json": ["unknown"],
    "comment_ad.json": ["comment"],
    "comment_feed.json": ["comment"],
    "comment_flat_ig_login.json": ["comment"],
    "comment_no_from.json": ["comment"],
    "comment_no_text.json": ["comment"],
    "comment_reply_parent_id.json": ["comment"],
    "comment_self.json": ["own_comment!"],
    "deep_nesting.json": UNUSABLE,
    "dm_ad_referral.json": ["message"],
    "dm_echo.json": ["echo"],
    "dm_echo_deleted.json": ["echo!"],
    "dm_echo_keyword_loop.json": ["echo"],
    "dm_file.json": ["message"],
    "dm_ig_post.json": ["message"],
    "dm_image.json": ["message"],
    "dm_inline_reply.json": ["message"],
    "dm_message_edit_num_edit_0.json": ["edit!"],
    "dm_no_text_no_attachments.json": ["message"],
    "dm_optin.json": ["optin!"],
    "dm_postback_generic_template.json": ["postback"],
    "dm_postback_icebreaker.json": ["postback"],
    "dm_postback_standby_no_payload.json": ["standby!"],
    "dm_quick_reply.json": ["quick_reply"],
    "dm_reaction.json": ["reaction!"],
    "dm_read_seen.json": ["read!"],
    "dm_share_legacy.json": ["message"],
    "dm_share_url_only.json": ["message"],
    "dm_standby_text.json": ["standby!"],
    "dm_story_mention.json": ["story_mention"],
    "dm_story_reply.json": ["story_reply"],
    "dm_story_share.json": ["message"],
    "dm_text_unicode_escaped.json": ["message"],
    "dm_unreact.json": ["reaction!"],
    "dm_unsupported.json": ["unsupported!"],
    "dm_video.json": ["message"],
    "empty_body.txt": UNUSABLE,
    "entry_empty.json": [],
    "entry_missing.json": UNUSABLE,
    "entry_not_list.json": UNUSABLE,
    "handover_pass_thread_control.json": ["handover!"],
    "handover_request_thread_control.json": ["handover!"],
    "huge_text.json": ["message"],
    "injection_text.json": ["message", "comment"],
    "ints_as_ids.json": ["message", "comment"],
    "invalid_utf8.txt": UNUSABLE,
    "json_scalar.json": UNUSABLE,
    "live_comment.json": ["live_comment"],
    "lone_surrogate.json": ["message"],
    "many_entries_empty.json": [],
    "mention_media.json": ["mention"],
    "messaging_not_list.json": ["unknown", "unknown"],
    "messaging_test_event_fb_login.json": ["test_event!"],
    "messaging_unknown_event.json": ["unknown"],
    "null_fields.json": ["unknown", "unknown", "unknown", "unknown"],
    "object_missing.json": UNUSABLE,
    "object_page.json": UNUSABLE,
    "over_django_limit.json": ["message"],
    "story_insights.json": ["story_insights!"],
    "top_level_array.json": ["message"],
    "truncated.txt": UNUSABLE,
    "unicode_emoji.json": ["message", "comment"],
    "unknown_account.json": ["message"],
}  # fmt: skip


def name(item: Item) -> str:
    """An event by its kind, a notice by its kind and an exclamation mark."""
    if isinstance(item, Event):
        return item.kind.value
    if isinstance(item, Echo):
        return "echo"
    return f"{item.kind.value}!" if isinstance(item, Notice) else "unknown"


def test_the_table_covers_every_file():
    assert set(TABLE) == {path.name for path in PAYLOADS.iterdir()} - {"INDEX.md"}


@pytest.mark.parametrize("file", TABLE)
def test_it_reads_every_file_as_what_it_is(file: str):
    try:
        found = [name(item) for item in parse(payload(file))]
    except Unusable:
        found = UNUSABLE
    assert found == TABLE[file]
