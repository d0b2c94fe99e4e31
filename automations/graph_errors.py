"""What to do about each error of the Graph API: the table of FACTS section 8, as data, and the order of reading it."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any


class Verdict(enum.StrEnum):
    """What the caller does next.

    RETRY: not sent, a later attempt may succeed. WAIT: not sent, and nothing more may be sent in `scope` for
    `wait_seconds`; uses no attempt. REJECT: never will be sent. PAUSE_ACCOUNT: this call never will be sent, and the
    account's other calls would fail for `wait_seconds`. NEEDS_OWNER: nothing can be sent for the account until its
    owner acts. PROBABLY_SENT: it may have been delivered, so it is never sent again by itself.
    """

    RETRY = "retry"
    WAIT = "wait"
    REJECT = "reject"
    PAUSE_ACCOUNT = "pause_account"
    NEEDS_OWNER = "needs_owner"
    PROBABLY_SENT = "probably_sent"


class Who(enum.StrEnum):
    """Who can remove the cause."""

    NOBODY = "nobody"
    OPERATOR = "operator"
    OWNER = "owner"
    META = "meta"


class Scope(enum.StrEnum):
    """What the error stops: this call, all of the account's calls, or all of the app's."""

    CALL = "call"
    ACCOUNT = "account"
    APP = "app"


@dataclass(frozen=True, slots=True)
class Ruling:
    """One row of the table. `title` is for operators; `wait_seconds` is the wait when Meta states none."""

    title: str
    verdict: Verdict
    who: Who = Who.NOBODY
    wait_seconds: float | None = None
    scope: Scope = Scope.CALL


MINUTE = 60.0
HOUR = 3600.0
# Meta counts most limits over a rolling hour, and every call made meanwhile lengthens the wait (FACTS section 7).
LIMIT_WAIT = 15 * MINUTE

NOT_SENT = Ruling("Meta could not be reached", Verdict.RETRY)
NO_ANSWER = Ruling("No answer from Meta: it may have been sent", Verdict.PROBABLY_SENT)
SERVER_ERROR = Ruling("Meta failed while answering: it may have been sent", Verdict.PROBABLY_SENT, Who.META)
TOO_MANY = Ruling("Meta asks for fewer calls", Verdict.WAIT, wait_seconds=MINUTE, scope=Scope.ACCOUNT)
TRANSIENT = Ruling("Meta is temporarily unable to answer", Verdict.RETRY, Who.META)
NO_PERMISSION = Ruling("The app lacks a permission, or it was not reviewed", Verdict.REJECT, Who.OPERATOR)
REFUSED = Ruling("Meta refused the call", Verdict.REJECT, Who.OPERATOR)
REPLY_MAYBE_USED = Ruling("The one private reply to this comment may already have been sent", Verdict.PROBABLY_SENT)

Key = tuple[int, int | None]


def _retry(title: str, who: Who = Who.META) -> Ruling:
    return Ruling(title, Verdict.RETRY, who)


def _wait(title: str, seconds: float, who: Who = Who.NOBODY, scope: Scope = Scope.ACCOUNT) -> Ruling:
    return Ruling(title, Verdict.WAIT, who, seconds, scope)


def _reject(title: str, who: Who = Who.NOBODY) -> Ruling:
    return Ruling(title, Verdict.REJECT, who)


def _needs_owner(title: str) -> Ruling:
    return Ruling(title, Verdict.NEEDS_OWNER, Who.OWNER, scope=Scope.ACCOUNT)


def _probably_sent(title: str, who: Who = Who.NOBODY) -> Ruling:
    return Ruling(title, Verdict.PROBABLY_SENT, who)


def _each(code: int, subcodes: Iterable[int | None], ruling: Ruling) -> dict[Key, Ruling]:
    return {(code, subcode): ruling for subcode in subcodes}


# (code, subcode); None stands for any subcode without a row of its own.
TABLE: dict[Key, Ruling] = {
    (1, None): _retry("Unknown error at Meta"),
    (1, 99): _retry("Unknown error at Meta, often a missing permission", Who.OPERATOR),
    (1, 1357046): _probably_sent("Meta lost its own answer: the message was sent"),
    (2, None): _retry("Meta is temporarily down, or the person blocked the account"),
    (2, 1545133): _retry("Private replies are temporarily unavailable"),
    (2, 2018344): _reject("The account has not accepted Meta's privacy terms", Who.OWNER),
    (3, None): _reject("The app lacks this capability", Who.OPERATOR),
    (4, None): _wait("The app's rate limit is reached", LIMIT_WAIT, Who.OPERATOR, Scope.APP),
    (10, None): _reject("The account's permission is missing or was removed", Who.OWNER),
    **_each(10, (2534022, 2018278, 2018065), _reject("Outside the 24-hour window: the person must write first")),
    (10, 2018108): _reject("The person cannot receive messages now"),
    (10, 1893063): Ruling(
        "Meta restricts the account from sending for a time",
        Verdict.PAUSE_ACCOUNT,
        Who.OWNER,
        6 * HOUR,
        Scope.ACCOUNT,
    ),
    (10, 2534077): _reject("The account's link to its Page, or its two-factor login, is broken", Who.OWNER),
    (17, None): _wait("The account's rate limit is reached", LIMIT_WAIT),
    (20, 1772107): _probably_sent("The comment was posted; Meta refused the form of its answer", Who.OPERATOR),
    (32, None): _wait("The Page's rate limit is reached", LIMIT_WAIT),
    (100, None): _reject("Meta does not accept a parameter", Who.OPERATOR),
    (100, 33): _reject("The object does not exist, or the app may not see it", Who.OPERATOR),
    **_each(100, (2018001, 2534014), _reject("No such person for this account")),
    (100, 2534013): _reject("The Page is not linked to the account, or private replies are limited", Who.OWNER),
    (100, 2534015): _reject("Meta calls the message invalid", Who.OPERATOR),
    (100, 2534025): _probably_sent("The comment takes no private reply: its one reply was probably sent"),
    (100, 2534029): _needs_owner("The account is blocked from Meta's messaging API"),
    **_each(100, (2534037, 2018300), _reject("Another app controls the conversation", Who.OWNER)),
    **_each(100, (2018008, 2018294), _retry("Meta could not fetch the media in time", Who.OPERATOR)),
    **_each(100, (2018047, 2018109), _reject("Meta does not accept the media", Who.OPERATOR)),
    (102, None): _needs_owner("The account's session has expired"),
    (190, None): _needs_owner("The account's access token is not valid"),
    (190, 458): _needs_owner("The account has removed the app"),
    **_each(190, (459, 464), _needs_owner("The account's owner must log in to Instagram")),
    (190, 460): _needs_owner("The account's password was changed"),
    (190, 463): _needs_owner("The account's access token has expired"),
    (190, 467): _needs_owner("The account's access token was invalidated"),
    (190, 492): _needs_owner("The account's user has lost their role on the Page"),
    (200, 2534041): _needs_owner("The account's owner has switched off access to messages"),
    (200, 1545041): _reject("The person is unavailable or blocked the account"),
    (230, None): _reject("The person has not consented to their profile being read"),
    (341, None): _retry("The app's limit is reached, or Meta is down"),
    (368, None): _wait("Meta blocks the account for a time for breaking its policies", 2 * HOUR, Who.OWNER),
    (506, None): _reject("The same text was posted just before", Who.OPERATOR),
    (551, None): _reject("The person is unavailable or blocked the account"),
    (613, None): _wait("A rate limit for this kind of call is reached", MINUTE),
    (613, 1996): _wait("Meta sees an inconsistent volume of calls", LIMIT_WAIT, Who.OPERATOR),
    (613, 1893016): _reject("The person was asked to opt in twice for one topic", Who.OPERATOR),
    (613, 2018338): _reject("Meta warns of abused message tags", Who.OPERATOR),
    (2022, None): _reject("Commerce messages are disabled after a violation", Who.OWNER),
    (36103, None): _reject("The account may not use this API", Who.OWNER),
    (80001, None): _wait("The Page's rate limit is reached", LIMIT_WAIT),
    (80002, None): _wait("Instagram's rate limit for the account is reached", LIMIT_WAIT),
    (80006, None): _wait("Messenger's rate limit for the account is reached", LIMIT_WAIT),
    (9000001, None): _reject("The message was deleted"),
}

# Seen with no main code on record (FACTS section 8).
BY_SUBCODE: dict[int, Ruling] = {2534001: _reject("The conversation was archived or deleted by its owner")}

# On a private reply these may mean that the one reply was used, by us or by somebody else.
_UNCLEAR_ON_PRIVATE_REPLY = frozenset({TABLE[1, None], TABLE[1, 99], TABLE[2, None]})


# A call that may have been sent is not sent again, and a limit is not run into, whatever `is_transient` says.
_STRONGER_THAN_TRANSIENT = frozenset({Verdict.WAIT, Verdict.PROBABLY_SENT})


def number(value: object) -> int:
    """Meta's code as a number; 0 for anything else."""
    text = str(value) if isinstance(value, int | str) else ""
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def rule_on(status: int, error: dict[str, Any], private_reply: bool) -> Ruling:
    """What an answer means. `status` is HTTP's, `error` the answer's `error` object ({} when it had none).

    The order is FACTS section 8's: `is_transient`, (code, subcode), code, 200-299, HTTP status, else refused for good.
    Rows that wait or say "probably sent" outrank `is_transient`. A bare 1 or 2 on a private reply counts as probably
    sent; with `is_transient` it is tried again, which Meta itself keeps from becoming a second reply.
    """
    known = _from_table(number(error.get("code")), number(error.get("error_subcode")))
    if error.get("is_transient") is True and (known is None or known.verdict not in _STRONGER_THAN_TRANSIENT):
        return replace(known, verdict=Verdict.RETRY, scope=Scope.CALL, wait_seconds=None) if known else TRANSIENT
    if known is None:
        return _from_status(status)
    return REPLY_MAYBE_USED if private_reply and known in _UNCLEAR_ON_PRIVATE_REPLY else known


def _from_table(code: int, subcode: int) -> Ruling | None:
    ruling = TABLE.get((code, subcode)) or BY_SUBCODE.get(subcode) or TABLE.get((code, None))
    return NO_PERMISSION if ruling is None and 200 <= code <= 299 else ruling


def _from_status(status: int) -> Ruling:
    if status == 429:
        return TOO_MANY
    return SERVER_ERROR if status >= 500 else REFUSED
