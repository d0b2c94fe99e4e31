from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from automations import history
from automations.history import Pruned

TELL_SECONDS = 5.0


class Command(BaseCommand):
    help = (
        "Deletes events with their deliveries, dead letters that were taken up and alerts that ended, so many days "
        "ago. What is open stays. Safe beside a running system, and to run twice."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=30, help="older than this (default: %(default)s)")
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def handle(self, *args: Any, **options: Any) -> None:
        before = timezone.now() - timedelta(days=options["days"])
        verb = "would go" if options["dry_run"] else "deleted"
        total, told = Pruned(), time.monotonic()
        try:
            for batch in history.prune(before, dry_run=options["dry_run"]):
                total += batch
                if time.monotonic() - told >= TELL_SECONDS:
                    told = time.monotonic()
                    self.stdout.write(f"{_counts(total)} {verb} so far, up to {total.until:%Y-%m-%d %H:%M}")
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{_counts(total)} {verb}.")


def _counts(total: Pruned) -> str:
    return f"{total.events} events, {total.deliveries} deliveries, {total.letters} dead letters, {total.alerts} alerts"
