from __future__ import annotations

from automations.events import Kind
from webhooks.routing import lane


def test_every_kind_has_a_lane():
    assert {kind: lane(kind).value for kind in Kind} == {
        "message": "high",
        "quick_reply": "high",
        "postback": "high",
        "referral": "high",
        "story_reply": "default",
        "story_mention": "default",
        "mention": "default",
        "comment": "low",
        "live_comment": "low",
    }
