from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError
from rich.console import Console

from queueops import connections, stats, terminal
from queueops.embedded import EmbeddedValkeyError


class Command(BaseCommand):
    help = "Shows the queue once: lanes, ledger, rates, workers. Needs no web server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="the JSON of GET /api/queue-stats")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            snapshot = stats.read(connections.client())
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            raise CommandError(f"Redis cannot be reached: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps(snapshot))
        else:
            Console(file=self.stdout).print(terminal.view(snapshot))  # type: ignore[arg-type] # a stream in all but name
