"""`manage.py simulate`: signed, realistic webhooks against a running server."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn
from yarl import URL

from webhooks.load import Plan, Report, deliver, percentile
from webhooks.simulation import DEFAULT_MIX, KINDS, bodies, parse_mix

DEMO_ACCOUNTS = "17841456778752687,17841405726653026"
PLAIN_PROGRESS_SECONDS = 5.0


def mix(text: str) -> dict[str, int]:
    try:
        return parse_mix(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def url(text: str) -> str:
    given = URL(text)
    if given.scheme not in {"http", "https"} or not given.host:
        raise argparse.ArgumentTypeError(f"{text!r} must be like http://127.0.0.1:8000")
    return text


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} must be between 0 and 1")
    return value


def at_least(minimum: float, kind: type[int] | type[float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if value < minimum:
            raise argparse.ArgumentTypeError(f"{text} must be at least {minimum}")
        return value

    read.__name__ = kind.__name__  # argparse names the form in its error
    return read


class Command(BaseCommand):
    help = "Posts signed, realistic webhooks to a running server and sums up what it answered."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--url", type=url, default="http://127.0.0.1:8000", help="the server, without the webhook's path"
        )
        parser.add_argument("--rate", type=at_least(0, float), default=100.0, help="POSTs a second; 0: no limit")
        parser.add_argument(
            "--seconds", type=at_least(0, float), default=30.0, help="how long, unless --count is given"
        )
        parser.add_argument("--count", type=at_least(1, int), help="how many POSTs")
        parser.add_argument("--mix", type=mix, default=DEFAULT_MIX, help=f"weights of {', '.join(KINDS)}")
        parser.add_argument("--duplicates", type=share, default=0.05, help="share of POSTs that come again, 0 to 1")
        parser.add_argument("--accounts", default=DEMO_ACCOUNTS, help="comma-separated Instagram ids")
        parser.add_argument("--secret", default="", help="app secret; by default the first of INSTAGRAM_APP_SECRET")
        parser.add_argument("--seed", type=int, help="the same traffic again, which the server then knows already")
        parser.add_argument("--connections", type=at_least(1, int), default=32, help="POSTs in flight at most")

    def handle(self, *args: Any, **options: Any) -> None:
        accounts = [account.strip() for account in options["accounts"].split(",") if account.strip()]
        if not accounts:
            raise CommandError("--accounts must name at least one Instagram id")
        seed = options["seed"] if options["seed"] is not None else secrets.randbits(32)
        plan = Plan(
            url=options["url"],
            secret=options["secret"] or configured_secret(),
            rate=options["rate"],
            connections=options["connections"],
            seconds=None if options["count"] else options["seconds"],
        )
        total = options["count"] or (int(plan.rate * options["seconds"]) if plan.rate else None)
        source = bodies(seed, options["mix"], accounts, total, options["duplicates"], now_ms)
        self.stdout.write(f"Posting {total or 'webhooks'} to {plan.url}, seed {seed}")
        report = Report()
        with self.progress(total) as on_post, suppress(KeyboardInterrupt):
            try:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    runner.run(deliver(source, plan, report, on_post))
            except OSError as error:
                raise CommandError(f"nothing answers at {plan.url} ({error}); start it with make run") from error
        self.stdout.write(summary(report))
        if report.refused:
            raise CommandError(f"{report.refused.total()} of {report.posts} POSTs were refused")

    @contextmanager
    def progress(self, total: int | None) -> Iterator[Callable[[], None]]:
        """What to call after each POST: a bar in a terminal, otherwise a line now and then."""
        if not self.stdout.isatty():
            yield self.plain_progress(total)
            return
        columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns) as bar:
            task = bar.add_task("webhooks", total=total)
            yield lambda: bar.advance(task)

    def plain_progress(self, total: int | None) -> Callable[[], None]:
        done, told_at = 0, time.monotonic()

        def on_post() -> None:
            nonlocal done, told_at
            done += 1
            if time.monotonic() - told_at >= PLAIN_PROGRESS_SECONDS:
                told_at = time.monotonic()
                self.stdout.write(f"{done} of {total}" if total else f"{done}")
                self.stdout.flush()

        return on_post


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def configured_secret() -> str:
    """The server's own secret: from the environment, or where `make run` keeps the one that it made."""
    if settings.INSTAGRAM_APP_SECRET:
        return str(settings.INSTAGRAM_APP_SECRET[0])
    with suppress(FileNotFoundError):
        if kept := (settings.VAR_DIR / "instagram_app_secret").read_text().strip():
            return str(kept)
    raise CommandError("no app secret: pass --secret, or set INSTAGRAM_APP_SECRET to the one that the server has")


def summary(report: Report) -> str:
    """The report as lines for people."""
    times = ", ".join(f"p{percent} {percentile(report.milliseconds, percent):.1f} ms" for percent in (50, 95, 99))
    rate = report.posts / report.seconds if report.seconds else 0.0
    lines = [
        f"sent       {report.posts} POSTs, {report.events} events ({report.redelivered} of them again), "
        f"in {report.seconds:.1f} s, {rate:.0f}/s",
        f"accepted   {report.answers['accepted']}",
        f"duplicate  {report.answers['duplicate']}",
        f"ignored    {report.answers['ignored']}",
        f"refused    {', '.join(f'{name}: {count}' for name, count in report.refused.most_common()) or 0}",
        f"to 200     {times}",
    ]
    return "\n".join(lines)
