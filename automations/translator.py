"""Meta's error codes in plain words: what one means, who must act, what to do, and where Meta says so.

The rows are those of `graph_errors.TABLE`, which decides what we do; here stands what people do. The meanings are FACTS
section 8's, from the pages linked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from automations.graph_errors import Key, Ruling, Verdict, Who, number, rule_on
from queueops.models import DeadLetter

_DOCS = "https://developers.facebook.com"
MESSAGING = f"{_DOCS}/documentation/business-messaging/messenger-platform/error-codes"
GRAPH = f"{_DOCS}/docs/graph-api/guides/error-handling"
LIMITS = f"{_DOCS}/docs/graph-api/overview/rate-limiting"
PRIVATE_REPLIES = f"{_DOCS}/docs/instagram-platform/instagram-api-with-instagram-login/messaging-api/private-replies"
COMMENTS = f"{_DOCS}/documentation/instagram-platform/comment-moderation"
INSTAGRAM = f"{_DOCS}/documentation/instagram-platform/instagram-graph-api/reference/error-codes"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One error for an operator. who: must act; next: what happens by itself; link: to Meta's own page."""

    code: int
    subcode: int
    title: str
    means: str
    who: str
    do: str
    next: str
    link: str

    @property
    def numbers(self) -> str:
        """`190/463`, `190`, or "" where Meta gave none."""
        return "/".join(str(one) for one in (self.code, self.subcode) if one)


@dataclass(frozen=True, slots=True)
class Words:
    """What of an explanation is written down for one row of the table. who: where the table's own is too coarse."""

    means: str
    do: str
    link: str = MESSAGING
    who: str = ""


WHO = {
    Who.NOBODY: "nobody",
    Who.OPERATOR: "us",
    Who.OWNER: "the account's owner",
    Who.META: "nobody here: Meta",
}
PERSON = "the person"

NEXT = {
    Verdict.RETRY: "It is tried again by itself, some times.",
    Verdict.WAIT: "It goes by itself when the wait is over; until then nothing else is called.",
    Verdict.REJECT: "It is not tried again by itself.",
    Verdict.PAUSE_ACCOUNT: "This one is not tried again; the account's other events wait until the pause ends.",
    Verdict.NEEDS_OWNER: "Nothing is sent for the account until it is connected again; its events wait.",
    Verdict.PROBABLY_SENT: "It is never sent again by itself: Meta's echo settles it, or an operator.",
}

_LOG_IN_AGAIN = "Ask the owner to connect the account again, then retry its dead letters."
_WAIT = "Nothing. Calls made meanwhile would lengthen the wait."
_OVER_TO_THE_PERSON = "Nothing. When the person writes again, they are answered."
_WINDOW = Words(
    "More than 24 hours have passed since the person last wrote, or they never did.", _OVER_TO_THE_PERSON, who=PERSON
)
_NO_PERSON = Words(
    "The id is not that of a person who wrote to this account, or they are gone or have blocked it.",
    "Nothing, if it is one person. If it is all of them, the id is of another account or app.",
)
_OTHER_APP = Words(
    "Another app, such as an inbox tool, holds this conversation, and Meta lets only that one write.",
    "Ask the owner to make this app the default one, in the account's settings for connected tools.",
)
_LOG_IN = Words("Meta wants the owner to prove who they are.", "Ask the owner to log in to Instagram once, then retry.")
_MEDIA_NOT_FETCHED = Words(
    "Meta asked the address of the media and got no whole answer in time.", "Check that the address answers quickly."
)
_BAD_MEDIA = Words(
    "The file's type or size is not one that Meta takes.", "Replace the file in the automation, then retry."
)
_RATE = Words("The account, or its Page, has made as many calls as Meta allows for now.", _WAIT, LIMITS)
_GONE = Words("The person deleted their account, blocked this one, or takes no messages.", "Nothing.", who=PERSON)

WORDS: dict[Key, Words] = {
    (1, None): Words("Something failed at Meta, which says no more.", "Nothing, unless it lasts.", GRAPH),
    (1, 99): Words(
        "Meta says no more; seen mostly when the app lacks a permission or its access level is too low.",
        "Check the app's permissions and access level in Meta's App Dashboard.",
    ),
    (1, 1357046): Words("Meta could not read its own answer. The message had gone out by then.", "Nothing."),
    (2, None): Words(
        "Meta is down for the moment, or the person has blocked the account.", "Nothing, unless it is everybody.", GRAPH
    ),
    (2, 1545133): Words("Meta cannot send private replies for the moment.", "Nothing.", PRIVATE_REPLIES),
    (2, 2018344): Words(
        "The account has not accepted Meta's terms on privacy.", "Ask the owner to accept them, then retry."
    ),
    (3, None): Words(
        "The app is not allowed this kind of call.", "Add the capability in Meta's App Dashboard, then retry.", GRAPH
    ),
    (4, None): Words(
        "All accounts together made as many calls as Meta allows this app.",
        "Nothing now. If it comes often, spread the load, or ask Meta for more.",
        LIMITS,
    ),
    (10, None): Words(
        "The owner took back a permission, or never gave it.",
        "Ask the owner to connect the account again and to allow everything that is asked for.",
        GRAPH,
    ),
    **dict.fromkeys([(10, 2534022), (10, 2018278), (10, 2018065)], _WINDOW),
    (10, 2018108): Words("The person's inbox takes no messages for now.", "Nothing.", who=PERSON),
    (10, 1893063): Words(
        "Meta keeps the account from sending for a time, mostly after complaints or too many messages at once.",
        "Ask the owner to look into Instagram's account status. Look at what the automations send, and how often.",
    ),
    (10, 2534077): Words(
        "The account has lost its Page, or its two-factor login is not set up.",
        "Ask the owner to mend the link to the Page, or the login, then retry.",
    ),
    (17, None): _RATE,
    (20, 1772107): Words(
        "The public reply was posted; Meta refused only the form of its answer.",
        "Nothing for this event. Tell a developer: the call asks for fields that Meta does not give.",
        COMMENTS,
    ),
    (32, None): _RATE,
    (100, None): Words(
        "Something in the call is not as Meta wants it.",
        "Read Meta's own words beside this. Mostly the automation's text, buttons or ids are to be corrected.",
    ),
    (100, 33): Words(
        "The comment, message or account is gone, or this app may not see it.",
        "Nothing, if the comment was deleted. Otherwise check the app's permissions.",
        GRAPH,
    ),
    **dict.fromkeys([(100, 2018001), (100, 2534014)], _NO_PERSON),
    (100, 2534013): Words(
        "The account is not linked to its Page; some have met it when private replies were limited.",
        "Ask the owner to mend the link, then retry.",
    ),
    (100, 2534015): Words(
        "The message itself is not valid: empty, too long, or with buttons that Meta does not take.",
        "Correct the automation, then retry.",
    ),
    (100, 2534025): Words(
        "The comment takes no private reply (any more). Mostly its one reply has been used: it is there already.",
        "Look into the account's inbox before you decide about it.",
        PRIVATE_REPLIES,
    ),
    (100, 2534029): Words(
        "Meta has taken messaging away from this account.", "Ask the owner to appeal with Meta, then reconnect."
    ),
    **dict.fromkeys([(100, 2534037), (100, 2018300)], _OTHER_APP),
    **dict.fromkeys([(100, 2018008), (100, 2018294)], _MEDIA_NOT_FETCHED),
    **dict.fromkeys([(100, 2018047), (100, 2018109)], _BAD_MEDIA),
    (102, None): Words("The login that the access token stands for has ended.", _LOG_IN_AGAIN, GRAPH),
    (190, None): Words("Meta does not take the access token any more.", _LOG_IN_AGAIN, GRAPH),
    (190, 458): Words("The owner removed the app from the account.", _LOG_IN_AGAIN, GRAPH),
    **dict.fromkeys([(190, 459), (190, 464)], _LOG_IN),
    (190, 460): Words("A new password ends every access token of before.", _LOG_IN_AGAIN, GRAPH),
    (190, 463): Words("Tokens live for 60 days, and this one was not renewed.", _LOG_IN_AGAIN, GRAPH),
    (190, 467): Words("Meta, or the owner, ended the access token.", _LOG_IN_AGAIN, GRAPH),
    (190, 492): Words(
        "Who connected the account has no role on its Page any more.",
        "Ask an admin of the Page to give the role back, or to connect the account themselves.",
        GRAPH,
    ),
    (200, 2534041): Words(
        "In the account's settings, access to messages is switched off for connected tools.",
        "Ask the owner to switch it on (Settings, Messages, Connected tools), then reconnect.",
    ),
    (200, 1545041): _GONE,
    (230, None): Words(
        "Meta shows a person's profile only once they have written to the account.", "Nothing.", who=PERSON
    ),
    (341, None): Words("The app has used up a limit, or Meta is down.", "Nothing, unless it lasts.", GRAPH),
    (368, None): Words(
        "Meta takes what the account sends for a breach of its rules, and blocks it for hours.",
        "Look at what its automations send. The owner finds Meta's reason in the app, under account status.",
        GRAPH,
    ),
    (506, None): Words(
        "The same public reply was posted just before, and Meta takes it for spam.",
        "Give the automation several public replies to choose from.",
        GRAPH,
    ),
    (551, None): _GONE,
    (613, None): Words("Too many calls of this kind were made in a short time.", _WAIT, LIMITS),
    (613, 1996): Words(
        "Calls came in bursts that Meta finds unusual for this app.",
        "If it comes often, set a slower pace (PACING_…) for all accounts.",
        LIMITS,
    ),
    (613, 1893016): Words(
        "The same person was asked twice to opt in to one topic.", "Take the second request out of the automation."
    ),
    (613, 2018338): Words(
        "Meta finds that message tags are used for what they are not for.", "Take the tag out, and read Meta's rules."
    ),
    (2022, None): Words(
        "Meta took the right to send commerce messages away after a breach of its rules.",
        "Ask the owner to look into Meta's Business Support Home.",
    ),
    (36103, None): Words(
        "The account is not of a kind that Meta opens this API for.",
        "Ask the owner to make it a professional account, and to connect it again.",
        INSTAGRAM,
    ),
    (80001, None): _RATE,
    (80002, None): _RATE,
    (80006, None): _RATE,
    (9000001, None): Words("The person took their message back.", "Nothing.", INSTAGRAM),
}

BY_SUBCODE = {
    2534001: Words("The conversation was archived or deleted by the account's owner.", "Nothing.", MESSAGING),
}

_PERMISSION = Words(
    "The app has not been granted, or reviewed for, what this call needs.",
    "Look up the permission in Meta's App Dashboard, under App Review.",
    GRAPH,
)
_UNKNOWN = Words(
    "This code has no row in our table, so it counts as refused for good.",
    "Read Meta's own words beside this, and look the code up.",
)
# Without a code of Meta's: by what we do about it.
BY_VERDICT = {
    Verdict.RETRY: Words("No connection to Meta came about, so nothing was sent.", "Nothing, unless it lasts.", GRAPH),
    Verdict.WAIT: Words("Meta asked for fewer calls, and gave no code.", _WAIT, LIMITS),
    Verdict.PROBABLY_SENT: Words(
        "The call went out and no answer came back that says what became of it.",
        "Look into the account's inbox on Instagram, then decide about the delivery.",
        GRAPH,
    ),
}
TITLES = {
    Verdict.RETRY: "Meta could not be reached",
    Verdict.WAIT: "Meta asks for fewer calls",
    Verdict.PROBABLY_SENT: "Nobody knows whether it was sent",
}


def explain(code: int, subcode: int = 0, verdict: str = "") -> Explanation:
    """What Meta's numbers mean; any numbers, 0 where there are none.

    verdict: what was decided about this very call, where that is known: an answer may be transient, or a reply used.
    """
    ruling = rule_on(0, {"code": code, "error_subcode": subcode}, private_reply=False)
    decided = Verdict(verdict) if verdict in set(Verdict) else ruling.verdict
    words = _words(code, subcode) if code or subcode else BY_VERDICT.get(decided, _UNKNOWN)
    who = words.who or WHO[ruling.who if code or subcode else Who.NOBODY]
    return Explanation(
        code=code,
        subcode=subcode,
        title=_title(ruling, code, subcode, decided),
        means=words.means,
        who=who,
        do=words.do,
        next=NEXT[decided],
        link=words.link,
    )


def explain_error(error: dict[str, Any] | None) -> Explanation | None:
    """What a delivery's `error` means; None when there is none, or it is a reason of our own, in words already."""
    error = error or {}
    code, subcode, verdict = number(error.get("code")), number(error.get("subcode")), str(error.get("verdict", ""))
    if not code and not subcode and verdict not in set(BY_VERDICT):
        return None
    return explain(code, subcode, verdict)


def explain_letter(letter: DeadLetter) -> Explanation | None:
    """What a dead letter's cause means; None for one that no answer of Meta's caused."""
    if not letter.cause_code and letter.cause_verdict not in set(BY_VERDICT):
        return None
    return explain(letter.cause_code, letter.cause_subcode, letter.cause_verdict)


def _words(code: int, subcode: int) -> Words:
    words = WORDS.get((code, subcode)) or BY_SUBCODE.get(subcode) or WORDS.get((code, None))
    return words or (_PERMISSION if 200 <= code <= 299 else _UNKNOWN)


def _title(ruling: Ruling, code: int, subcode: int, decided: Verdict) -> str:
    return ruling.title if code or subcode else TITLES.get(decided, ruling.title)
