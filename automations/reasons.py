"""Why an event was not answered, or not with every step: in words for people, and as one of few for counting."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Reason(enum.StrEnum):
    """NONE: there is nothing to say, for example because all was sent."""

    NONE = ""
    OWN_COMMENT = "own_comment"
    NOT_OFFERED = "not_offered"  # Meta has no call for such an answer
    UNFIT = "unfit"  # the text is empty or too long, or there is nobody to send it to
    WINDOW_CLOSED = "window_closed"
    LIMIT = "limit"  # its turn under the account's limit would come after the window closes
    ALREADY = "already"  # the comment has its one private reply, or another run has the step
    RULE_REMOVED = "rule_removed"
    CUT_OFF = "cut_off"  # the process stopped in the middle of the call
    NO_ANSWER = "no_answer"  # Meta did not say whether it took the call


@dataclass(frozen=True, slots=True)
class Why:
    """words: as the event shows them."""

    reason: Reason = Reason.NONE
    words: str = ""


NOTHING = Why()
