"""What the demo rules ask for, written down a second time and more simply, to check the product by."""

from __future__ import annotations

import re

from webhooks.simulated_events import Content

GREETING = "Hi! Want the link?"
OFFER = "Here you go: https://example.com/offer"
LINK = "Here is the link you asked for: https://example.com/offer"
PUBLIC = "Sent you a DM!"
ON_ITS_WAY = "On its way: https://example.com/offer"
PRICES = "Our prices: https://example.com/prices"
MENTION = "Thanks for the mention!"

NOTICES = frozenset({"echo", "read", "reaction"})

# Whom (a person's id) or what (a comment's id) a call addresses, and its text.
Call = tuple[str, str]


def calls(content: Content) -> list[Call]:
    """The calls that this event must lead to, in order; none for what no rule answers."""
    said = set(re.findall(r"\w+", content.text.lower()))
    to_person, to_comment = content.person, content.source_id
    asks = bool(said & {"link", "price"})
    answers: dict[str, list[Call]] = {
        "message": _answer_to_message(to_person, said),
        "quick_reply": [(to_person, ON_ITS_WAY)] if content.payload == "FLOW_42_STEP_2_YES" else [],
        "postback": [(to_person, ON_ITS_WAY)] if content.payload == "FLOW_42_STEP_2_YES" else [],
        "story_reply": [(to_person, PRICES)] if "price" in said else [],
        "story_mention": [(to_person, MENTION)],
        "comment": [(to_comment, LINK), (to_comment, PUBLIC)] if asks else [],
        "live_comment": [(to_comment, LINK)] if "link" in said else [],
    }
    return answers.get(content.kind, [])


def _answer_to_message(person: str, said: set[str]) -> list[Call]:
    if said & {"hello", "hi"}:
        return [(person, GREETING)]
    return [(person, OFFER)] if said & {"link", "price"} else []
