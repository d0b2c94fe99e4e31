from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from queueops import connections, recovery
from queueops.embedded import EmbeddedValkeyError


class Command(BaseCommand):
    help = "Gives started jobs whose worker is gone back to their lanes, and prints how many of what."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=float,
            default=settings.QUEUE_STUCK_AFTER_SECONDS,
            metavar="SECONDS",
            help="only jobs that no worker has vouched for since then (default: %(default)s; 0: at once)",
        )
        parser.add_argument("--dry-run", action="store_true", help="only count them")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = recovery.recover(connections.client(), options["older_than"], options["dry_run"])
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            raise CommandError(f"Redis cannot be reached: {error}") from error
        verb = "would go back" if options["dry_run"] else "went back"
        for lane, n in found.back.items():
            self.stdout.write(f"{lane}: {n} {verb}")
        self.stdout.write(f"{sum(found.back.values())} stuck jobs {verb} to their lanes.")
        given_up = sum(found.given_up.values())
        if given_up:
            became = "would become" if options["dry_run"] else "became"
            self.stdout.write(f"{given_up} whose workers died again and again {became} dead letters.")
