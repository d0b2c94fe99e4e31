from __future__ import annotations

import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from queueops import connections, drain, tally
from queueops.embedded import EmbeddedValkeyError

WATCH_SECONDS = 1.0


class Command(BaseCommand):
    help = "Moves what the database tier holds into Redis, as workers do by themselves, and prints how many jobs went."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--watch", action="store_true", help="go on for ever, also while Redis is away")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            try:
                self._drain(quiet=options["watch"])
            except (RedisError, OSError, EmbeddedValkeyError) as error:
                if not options["watch"]:
                    raise CommandError(f"Redis cannot be reached: {error}") from error
                self.stderr.write(f"Redis cannot be reached: {error}")
            if not options["watch"]:
                return
            time.sleep(WATCH_SECONDS)

    def _drain(self, quiet: bool) -> None:
        moved = 0
        while drain.is_needed() and (n := drain.drain(connections.client())):
            moved += n
        if moved or not quiet:
            left = tally.read().fallback
            self.stdout.write(f"{moved} jobs moved into Redis, {left} left in the database.")
