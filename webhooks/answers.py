"""What the edge answers, the same at both doors (CONTRACT section 3): never a 500, never a redirect."""

from __future__ import annotations

import functools
import hmac
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson
from django.conf import settings

from queueops import metrics
from queueops.dispatch import Unavailable
from queueops.jobs import Receipt
from webhooks.intake import TooLarge, Unsigned

JSON = ("Content-Type", "application/json")
# The challenge comes back as it was given: as plain text it can never run as a page.
PLAIN = ("Content-Type", "text/plain; charset=utf-8")
NOSNIFF = ("X-Content-Type-Options", "nosniff")
RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer but for its `Content-Length`."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


def _error(status: int, reason: str, *headers: tuple[str, str]) -> Answer:
    return Answer(status, orjson.dumps({"error": reason}), (JSON, NOSNIFF, *headers))


NOT_ALLOWED = _error(405, "only GET and POST are served here", ("Allow", "GET, POST"))
CUT_SHORT = _error(400, "the body ended before its announced length")
PARAMETERS_MISSING = _error(400, "hub.mode, hub.verify_token and hub.challenge are required")
WRONG_TOKEN = _error(403, "hub.mode or hub.verify_token is not the expected one")

Refusal = Unsigned | TooLarge | Unavailable
REFUSALS: dict[type[Refusal], tuple[str, Answer]] = {
    Unsigned: ("unsigned", _error(401, "X-Hub-Signature-256 is missing or not a signature of this body")),
    TooLarge: ("oversized", _error(413, "the body is larger than WEBHOOK_MAX_BODY_BYTES")),
    Unavailable: (
        "unavailable",
        _error(503, "nothing could be kept now; send it again", ("Retry-After", str(RETRY_AFTER_SECONDS))),
    ),
}


def handshake(query: str) -> Answer:
    """The answer to Meta's `GET` (FACTS section 1): the challenge when the token is ours, 403 or 400 otherwise.

    Of a parameter that comes twice the last counts. A token that is not set matches nothing, not even an empty one.
    """
    given = dict(parse_qsl(query, keep_blank_values=True))
    try:
        mode, token, challenge = (given[name] for name in ("hub.mode", "hub.verify_token", "hub.challenge"))
    except KeyError:
        return PARAMETERS_MISSING
    expected = settings.INSTAGRAM_VERIFY_TOKEN.encode(errors="surrogateescape")
    if not (expected and hmac.compare_digest(token.encode(errors="replace"), expected) and mode == "subscribe"):
        return WRONG_TOKEN
    return Answer(200, challenge.encode(errors="replace"), (PLAIN, NOSNIFF))


def kept(receipt: Receipt) -> Answer:
    """The 200 that says: everything is on disk."""
    return _kept(receipt.accepted, receipt.duplicate, receipt.ignored)


@functools.lru_cache(maxsize=256)  # nearly every body holds one event
def _kept(accepted: int, duplicate: int, ignored: int) -> Answer:
    counts = {"accepted": accepted, "duplicate": duplicate, "ignored": ignored}
    return Answer(200, orjson.dumps(counts), (JSON, NOSNIFF))


def refused(error: Refusal) -> Answer:
    """The answer to a body that was not taken; counted by name."""
    name, answer = REFUSALS[type(error)]
    metrics.count(name)
    return answer
