"""What both doors do with a body: verify it, and read it into the batch that is handed on."""

from __future__ import annotations

from django.conf import settings

from automations.events import Echo, Event, Notice, NoticeKind
from automations.task_paths import PROCESS_EVENT, SETTLE_BY_ECHO
from queueops.jobs import Batch, Heard, Job, Lane
from webhooks.parsing import Unusable, parse
from webhooks.routing import lane
from webhooks.signature import verify

ECHO = NoticeKind.ECHO.value
UNKNOWN = "unknown"  # a part of a body that nobody here can read
UNUSABLE = "unusable"  # a whole body of that sort
KEPT_PIECES = 100  # of one body: the console shows examples, the count is kept in full


class Unsigned(Exception):
    """The body was not signed with a secret of ours: nothing of it may be read."""


class TooLarge(Exception):
    """The body is larger than WEBHOOK_MAX_BODY_BYTES."""


def check_size(declared: bytes | None, received: int = 0) -> None:
    """Raise TooLarge when the `Content-Length` header or the bytes that have come exceed the cap.

    The header is only a first word: what is not a number in it is left to the count of what comes.
    """
    most = settings.WEBHOOK_MAX_BODY_BYTES
    if received > most or (declared and declared.isdigit() and _exceeds(declared, most)):
        raise TooLarge


def _exceeds(digits: bytes, most: int) -> bool:
    if len(digits) > 18:  # int() refuses text of more than 4300 digits
        digits = digits.lstrip(b"0")
    return len(digits) > 18 or int(digits or b"0") > most


def admit(body: bytes, signature: bytes | None) -> Batch:
    """The batch of a signed body. Raises Unsigned, before anything is parsed."""
    if not verify(body, signature, settings.INSTAGRAM_APP_SECRET):
        raise Unsigned
    return read(body)


def read(body: bytes) -> Batch:
    """One job for each event; what needs no answer counted by name; what nobody can read counted and kept.

    An echo is counted like a notice; it is a job only when somebody awaits it.
    Duplicates inside one body stay separate jobs: whoever keeps them counts them as what they are.
    """
    try:
        items = parse(body)
    except Unusable as error:
        return Batch(ignored={UNUSABLE: 1}, kept=((error.reason, body),))
    jobs: list[Job] = []
    heard: list[Heard] = []
    kept: list[tuple[str, bytes]] = []
    ignored: dict[str, int] = {}
    for item in items:
        if isinstance(item, Event):
            jobs.append(_job(item))
        elif isinstance(item, Notice):
            ignored[item.kind.value] = ignored.get(item.kind.value, 0) + 1
        elif isinstance(item, Echo):
            ignored[ECHO] = ignored.get(ECHO, 0) + 1
            heard.append(_heard(item))
        else:
            ignored[UNKNOWN] = ignored.get(UNKNOWN, 0) + 1
            kept.append((item.reason, item.raw))
    return Batch(jobs=tuple(jobs), heard=tuple(heard), ignored=ignored, kept=tuple(kept[:KEPT_PIECES]))


def _job(event: Event) -> Job:
    return Job(
        id=event.key, lane=lane(event.kind), func=PROCESS_EVENT, payload=event.as_payload(), tenant=event.account
    )


def _heard(echo: Echo) -> Heard:
    job = Job(id=echo.key, lane=Lane.DEFAULT, func=SETTLE_BY_ECHO, payload=echo.as_payload(), tenant=echo.account)
    return Heard(name=ECHO, key=f"{ECHO}:{echo.words_key}", note=echo.note, job=job)
