"""What an operator does next about a dead letter or a cause: in a word, and in a sentence.

By the verdicts of `errors.Cause`, the windows, and until when the account waits, which only the job's own side knows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils import timezone

from queueops import hooks
from queueops.jobs import Waits
from queueops.models import Cause, DeadLetter, DeadLetterQuerySet


@dataclass(frozen=True, slots=True)
class Said:
    """tone: the class of console.css that it is shown with."""

    word: str
    sentence: str
    tone: str = ""


VERDICTS = {
    "retry": Said("safe to retry", "It failed for a time: retry it once that is over.", "cad-good"),
    "wait": Said("wait, then retry", "A limit of Meta's is reached: retry when it has passed.", "cad-warn"),
    "reject": Said(
        "never, as it is", "Meta refuses it for good: a retry helps only once its cause is gone.", "cad-bad"
    ),
    "pause_account": Said("wait, then retry", "Meta has paused the account: retry when that is over.", "cad-warn"),
    "needs_owner": Said("needs the account's owner", "The account's owner must act; then retry.", "cad-warn"),
    "probably_sent": Said("may have been sent", "Nobody knows whether it arrived: look before a retry."),
    "bug": Said("a bug of ours", "Our own code failed: a developer must mend it; then retry.", "cad-bad"),
}
WAITING = ("wait", "pause_account")
CLOSED = Said("never: window closed", "Its window has closed: a retry would send nothing any more.")
OVER = Said("safe to retry", "What Meta asked to wait for is over.", "cad-good")


def said(verdict: str, *, is_closed: bool = False, until: datetime | None = None, now: datetime | None = None) -> Said:
    """until: when the account may call again, None when that is not known; a time that has passed: it waits no more."""
    if is_closed:
        return CLOSED
    if verdict in WAITING and until is not None:
        return _wait_until(verdict, until) if until > (now or timezone.now()) else OVER
    return VERDICTS.get(verdict, Said(verdict.replace("_", " "), ""))


def _wait_until(verdict: str, until: datetime) -> Said:
    at = f"{until:%Y-%m-%d %H:%M} UTC"
    return Said(f"wait until {at}", f"{VERDICTS[verdict].sentence} That is at {at}.", "cad-warn")


def waits_of(func: str) -> Waits | None:
    """As the side of the jobs that this function runs knows it; None when it does not."""
    ask = hooks.of(func).waits
    return ask() if ask is not None else None


def until_of_causes(letters: DeadLetterQuerySet, causes: Iterable[Cause]) -> dict[str, datetime]:
    """When the last account of each cause that waits may call again, by fingerprint; the time of asking when all may.

    letters: the open ones that the person who asks may see.
    """
    by_func: dict[str, list[str]] = defaultdict(list)
    for cause in causes:
        if cause.verdict in WAITING:
            by_func[cause.func].append(cause.pk)
    known = {func: waits for func in by_func if (waits := waits_of(func)) is not None}
    until: dict[str, datetime] = {}
    for func, waits in known.items():
        until |= dict.fromkeys(by_func[func], waits.until(""))
        held = letters.filter(fingerprint__in=by_func[func], account__in=list(waits.by_account)).order_by()
        for name, account in held.values_list("fingerprint", "account").distinct():
            until[name] = max(until[name], waits.until(account))
    return until


def look_at_waits(letters: Iterable[DeadLetter]) -> None:
    """Note on each letter until when its account waits; asked once for each function, and only where it tells."""
    waiting = [row for row in letters if row.cause_verdict in WAITING and row.status == DeadLetter.Status.DEAD]
    known = {func: waits_of(func) for func in {row.func for row in waiting}}
    for row in waiting:
        waits = known[row.func]
        row.until = waits.until(row.account) if waits is not None else None


def of_letter(letter: DeadLetter) -> Said:
    """As of now; with the wait that was noted on it."""
    now = timezone.now()
    is_closed = letter.status == DeadLetter.Status.DEAD and letter.expires_at is not None and letter.expires_at <= now
    return said(letter.cause_verdict, is_closed=is_closed, until=letter.until, now=now)
