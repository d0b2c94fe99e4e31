"""Dead letters: written when a job is given up; retried or discarded by operators, by page, command or API alike."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from typing import Any

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.module_loading import import_string

from queueops import connections, moves, scrubbing
from queueops.jobs import Failure, Verb
from queueops.models import DeadLetter
from queueops.rq_jobs import RQ_RETRIES_LEFT, rq_now

TRACEBACK_CHARACTERS = 20_000


def write(job_id: str, func: str, lane: str, args: list[Any], failure: Failure, error: BaseException) -> None:
    """Keep the job with everything needed to understand and to retry it; once, however often it is called."""
    payload = args[0] if args and isinstance(args[0], dict) else {}
    cause = failure.cause
    letter = DeadLetter(
        event=job_id,
        func=func,
        payload={"args": args},
        lane=lane,
        kind=str(payload.get("kind", ""))[:32],
        account=str(payload.get("account", ""))[:64],
        person=str(payload.get("person", ""))[:64],
        source_id=str(payload.get("source_id", "")),
        cause_code=cause.code if cause else 0,
        cause_subcode=cause.subcode if cause else 0,
        cause_title=(cause.title if cause else type(error).__name__)[:200],
        cause_verdict=cause.verdict if cause else "bug",
        error=failure.reason.replace("\x00", "\ufffd")[:500],
        traceback=_traceback(error),
        attempts=failure.attempt,
        created_at=failure.at,
    )
    try:
        with transaction.atomic():
            letter.save(force_insert=True)
    except IntegrityError:
        # The worker died after this row and before Redis heard of it: the letter is there already.
        DeadLetter.objects.dead().filter(event=job_id).update(
            error=letter.error, traceback=letter.traceback, attempts=letter.attempts
        )


def _traceback(error: BaseException) -> str:
    """Scrubbed before it is cut: half a secret would not be recognised."""
    whole = scrubbing.scrub("".join(traceback.format_exception(error)))
    return whole[-TRACEBACK_CHARACTERS:].replace("\x00", "\ufffd")


def retry(letters: Iterable[DeadLetter], user: Any = None) -> int:
    """Put dead letters back into their lanes with fresh attempts; how many went.

    The job moves first: a crash in between leaves a letter that looks dead until its job ends, never a lost job.
    """
    return sum(_retry(letter, user) for letter in letters if letter.status == DeadLetter.Status.DEAD)


def _retry(letter: DeadLetter, user: Any) -> bool:
    redis = connections.client()
    data = orjson.dumps([letter.func, None, letter.payload["args"], {}])
    revive = redis.register_script(moves.REVIVE)
    timeout = settings.QUEUE_JOB_TIMEOUT_SECONDS
    went = bool(revive(args=[rq_now(), letter.event, letter.lane, data, letter.func, timeout, RQ_RETRIES_LEFT]))
    if _handled(letter, DeadLetter.Status.RETRIED, user):
        _tell(letter, Verb.RETRIED)
    return went


def discard(letters: Iterable[DeadLetter], user: Any = None) -> int:
    """Give dead letters up for good; their rows stay, marked discarded. Answers how many."""
    script = connections.client().register_script(moves.DISCARD)
    n = 0
    for letter in letters:
        if letter.status == DeadLetter.Status.DEAD and _handled(letter, DeadLetter.Status.DISCARDED, user):
            script(args=[letter.event, letter.lane])
            _tell(letter, Verb.DISCARDED)
            n += 1
    return n


def _tell(letter: DeadLetter, verb: Verb) -> None:
    """Let the job's own side show it, too."""
    try:
        on_operator = getattr(import_string(letter.func), "on_operator", None)
    except ImportError:  # a letter outlives the code that wrote it
        return
    if on_operator is not None:
        on_operator(*letter.payload["args"], verb)


def resolve(job_ids: Iterable[str]) -> None:
    """Mark open letters of jobs that have ended well after all (retried from RQ's own pages, for example)."""
    DeadLetter.objects.dead().filter(event__in=list(job_ids)).update(
        status=DeadLetter.Status.RESOLVED, handled_at=timezone.now()
    )


def _handled(letter: DeadLetter, status: DeadLetter.Status, user: Any) -> bool:
    """Change the status if it is still dead: of two operators one wins."""
    now = timezone.now()
    changed = DeadLetter.objects.dead().filter(pk=letter.pk).update(status=status, handled_at=now, handled_by=user)
    return bool(changed)
