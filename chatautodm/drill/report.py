"""The drill's result in words."""

from __future__ import annotations

from collections.abc import Sequence

from chatautodm.drill.drill import Course

LISTED = 20


def lines(course: Course) -> list[str]:
    """One line a figure, and under it what it counts, at most 20 of each."""
    verdict, posts = course.verdict, course.sender.posts
    answered = ", ".join(f"{name}: {n}" for name, n in posts.most_common())
    result = [
        f"  webhooks posted   {posts.total()} ({answered})",
        f"  faults            {len(course.faults)} in {course.seconds:.0f} s; quiet {course.quiet_seconds:.0f} s later",
        f"  acknowledged      {verdict.acknowledged} events, {verdict.unanswered} of which ask for no answer",
        f"  sent once         {verdict.sent_once} calls",
        f"  settled by echo   {verdict.settled}",
    ]
    for name, listed in (
        ("unconfirmed", verdict.unconfirmed),
        ("dead", verdict.dead),
        ("lost", verdict.lost),
        ("doubled", verdict.doubled),
        ("unexplained", verdict.unexplained),
        ("unfinished", verdict.unfinished),
    ):
        result += _listed(name, listed)
    result.append(f"  longest recovery  {verdict.longest_seconds:.1f} s from an acknowledgement to its first call")
    return result


def _listed(name: str, listed: Sequence[str]) -> list[str]:
    more = [f"      … and {len(listed) - LISTED} more"] if len(listed) > LISTED else []
    return [f"  {name:<17} {len(listed)}", *(f"      {line}" for line in listed[:LISTED]), *more]
