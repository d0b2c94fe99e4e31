"""Dead letters: written when a job is given up; retried or discarded by operators, by page, command or API alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from queueops import attempts, causes, connections, hooks, moves
from queueops.fingerprints import fingerprint
from queueops.jobs import Failure, Verb
from queueops.models import DeadLetter, Operation
from queueops.rq_jobs import RQ_RETRIES_LEFT, rq_now

AUTOMATION_CHARACTERS, AUTOMATION_NAME_CHARACTERS = 64, 200
SOURCE_ID_CHARACTERS = 600  # longer than any of Meta's; an index row takes 2704 bytes


def write(job_id: str, func: str, lane: str, args: list[Any], failure: Failure, error: BaseException) -> None:
    """Keep the job with everything needed to understand and to retry it; once, however often it is called."""
    payload = args[0] if args and isinstance(args[0], dict) else {}
    cause = failure.cause
    automation, automation_name = _automation_of(func, job_id)
    letter = DeadLetter(
        event=job_id,
        func=func,
        payload={"args": args},
        lane=lane,
        kind=str(payload.get("kind", ""))[:32],
        account=str(payload.get("account", ""))[:64],
        person=str(payload.get("person", ""))[:64],
        source_id=str(payload.get("source_id", ""))[:SOURCE_ID_CHARACTERS],
        automation=automation,
        automation_name=automation_name,
        cause_code=cause.code if cause else 0,
        cause_subcode=cause.subcode if cause else 0,
        cause_title=(cause.title if cause else type(error).__name__)[:200],
        cause_verdict=cause.verdict if cause else "bug",
        error=attempts.one_line(failure),
        traceback=attempts.traceback_of(error),
        attempts=failure.attempt,
        earlier=attempts.of(job_id),
        created_at=failure.at,
        expires_at=_expires_at(func, args),
    )
    letter.fingerprint = fingerprint(letter)
    try:
        with transaction.atomic():
            letter.save(force_insert=True)
            causes.note(letter)
            if letter.earlier:
                attempts.forget(job_id)
    except IntegrityError:
        # The worker died after this row and before Redis heard of it: the letter is there already.
        DeadLetter.objects.dead().filter(event=job_id).update(
            error=letter.error, traceback=letter.traceback, attempts=letter.attempts
        )


def _automation_of(func: str, job_id: str) -> tuple[str, str]:
    ask = hooks.of(func).automation_of
    key, name = (ask(job_id) if ask else None) or ("", "")
    return key[:AUTOMATION_CHARACTERS], name[:AUTOMATION_NAME_CHARACTERS]


def _expires_at(func: str, args: list[Any]) -> datetime | None:
    ask = hooks.of(func).expires_at
    try:
        return ask(*args) if ask else None
    except (KeyError, TypeError, ValueError):  # what nobody can read is in the dead letters, too
        return None


def retry(letters: Iterable[DeadLetter], user: Any = None, operation: Operation | None = None) -> int:
    """Put dead letters back into their lanes with fresh attempts; how many went.

    The job moves first: a crash in between leaves a letter that looks dead until its job ends, never a lost job.
    """
    return sum(_retry(letter, user, operation) for letter in letters if letter.status == DeadLetter.Status.DEAD)


def _retry(letter: DeadLetter, user: Any, operation: Operation | None = None) -> bool:
    redis = connections.client()
    data = orjson.dumps([letter.func, None, letter.payload["args"], {}])
    revive = redis.register_script(moves.REVIVE)
    timeout = settings.QUEUE_JOB_TIMEOUT_SECONDS
    went = bool(revive(args=[rq_now(), letter.event, letter.lane, data, letter.func, timeout, RQ_RETRIES_LEFT]))
    if _handled(letter, DeadLetter.Status.RETRIED, user, operation):
        _tell(letter, Verb.RETRIED)
    return went


def discard(letters: Iterable[DeadLetter], user: Any = None, operation: Operation | None = None) -> int:
    """Give dead letters up for good; their rows stay, marked discarded. Answers how many."""
    script = connections.client().register_script(moves.DISCARD)
    n = 0
    for letter in letters:
        is_dead = letter.status == DeadLetter.Status.DEAD
        if is_dead and _handled(letter, DeadLetter.Status.DISCARDED, user, operation):
            script(args=[letter.event, letter.lane])
            _tell(letter, Verb.DISCARDED)
            n += 1
    return n


def _tell(letter: DeadLetter, verb: Verb) -> None:
    """Let the job's own side show it, too."""
    on_operator = hooks.on_operator(letter.func)
    if on_operator is not None:
        on_operator(*letter.payload["args"], verb)


def delivered(letters: Sequence[DeadLetter]) -> dict[UUID, datetime]:
    """When the work of these letters' jobs went out, by the letters' keys; of those for which nothing is left to do."""
    by_func: dict[str, list[DeadLetter]] = defaultdict(list)
    for letter in letters:
        by_func[letter.func].append(letter)
    found: dict[UUID, datetime] = {}
    for func, rows in by_func.items():
        if ask := hooks.of(func).delivered_at:
            at = ask([row.event for row in rows])
            found.update({row.pk: at[row.event] for row in rows if row.event in at})
    return found


def edit(letter: DeadLetter, args: list[Any], user: Any) -> None:
    """Change what the letter's job is given, and keep what it was. Raises ValueError, in words, for what it cannot be.

    The job itself learns of it by the retry, which makes it anew from the letter.
    """
    before = letter.payload["args"]
    _require_same_shape(before, args)
    if (validate := hooks.of(letter.func).validate_payload) is not None:
        validate(*args)
    now = timezone.now()
    edits = [*letter.edits, {"at": now.isoformat(), "who": str(user), "before": before}]
    changed = DeadLetter.objects.dead().filter(pk=letter.pk).update(payload={"args": args}, edits=edits)
    if not changed:
        raise ValueError("The letter is not dead any more: somebody was quicker.")
    letter.payload, letter.edits = {"args": args}, edits


# By them jobs are told apart: with another one the retry would be about something else.
IDENTITY = ("kind", "account", "source_id")


def _require_same_shape(before: list[Any], after: Any) -> None:
    if not isinstance(after, list) or len(after) != len(before):
        raise ValueError(f"It must stay a list of {len(before)} values, as it was.")
    for n, (old, new) in enumerate(zip(before, after, strict=True), start=1):
        if type(old) is not type(new):
            raise ValueError(f"Value {n} must stay of its kind: {_KINDS.get(type(old), type(old).__name__)}.")
        if isinstance(old, dict):
            changed = [name for name in IDENTITY if old.get(name) != new.get(name)]
            if changed:
                raise ValueError(f"It must stay about the same event: {', '.join(changed)}.")


_KINDS: dict[type, str] = {dict: "an object, {…}", list: "a list, […]", str: "a text", int: "a number"}


def resolve(job_ids: Iterable[str]) -> None:
    """Mark open letters of jobs that have ended well after all (retried from RQ's own pages, for example)."""
    DeadLetter.objects.dead().filter(event__in=list(job_ids)).update(
        status=DeadLetter.Status.RESOLVED, handled_at=timezone.now()
    )


def _handled(letter: DeadLetter, status: DeadLetter.Status, user: Any, operation: Operation | None) -> bool:
    """Change the status if it is still dead: of two operators one wins."""
    changed = DeadLetter.objects.dead().filter(pk=letter.pk)
    return bool(changed.update(status=status, handled_at=timezone.now(), handled_by=user, operation=operation))
