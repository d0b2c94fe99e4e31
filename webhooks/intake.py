"""What both doors do with a body: verify it, and read it into the batch that is handed on."""

from __future__ import annotations

from django.conf import settings

from automations.events import Event, Notice
from queueops.jobs import Batch, Job
from webhooks.parsing import Unusable, parse
from webhooks.routing import lane
from webhooks.signature import verify

PROCESS_EVENT = "automations.tasks.process_event"
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
    if received > settings.WEBHOOK_MAX_BODY_BYTES:
        raise TooLarge
    if declared and declared.isdigit():
        digits = declared.lstrip(b"0")
        if len(digits) > 18 or int(digits or b"0") > settings.WEBHOOK_MAX_BODY_BYTES:
            raise TooLarge


def admit(body: bytes, signature: bytes | None) -> Batch:
    """The batch of a signed body. Raises Unsigned, before anything is parsed."""
    if not verify(body, signature, settings.INSTAGRAM_APP_SECRET):
        raise Unsigned
    return read(body)


def read(body: bytes) -> Batch:
    """One job for each event; what needs no answer counted by name; what nobody can read counted and kept.

    Duplicates inside one body stay separate jobs: whoever keeps them counts them as what they are.
    """
    try:
        items = parse(body)
    except Unusable as error:
        return Batch(ignored={UNUSABLE: 1}, kept=((error.reason, body),))
    jobs: list[Job] = []
    kept: list[tuple[str, bytes]] = []
    ignored: dict[str, int] = {}
    for item in items:
        if isinstance(item, Event):
            jobs.append(_job(item))
        elif isinstance(item, Notice):
            ignored[item.kind.value] = ignored.get(item.kind.value, 0) + 1
        else:
            ignored[UNKNOWN] = ignored.get(UNKNOWN, 0) + 1
            kept.append((item.reason, item.raw))
    return Batch(jobs=tuple(jobs), ignored=ignored, kept=tuple(kept[:KEPT_PIECES]))


def _job(event: Event) -> Job:
    return Job(
        id=event.key, lane=lane(event.kind), func=PROCESS_EVENT, payload=event.as_payload(), tenant=event.account
    )
