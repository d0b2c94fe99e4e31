from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, InterfaceError
from redis.exceptions import RedisError

from queueops import connections, inspection, ledger
from queueops.embedded import EmbeddedValkeyError


class Command(BaseCommand):
    help = "Compares lanes, registries, jobs and dead letters with each other, and prints which of them disagree."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--repair", action="store_true", help="put right what is wrong")
        parser.add_argument("--json", action="store_true", help='{"findings": [{"job", "what"}…], "unexplained": n}')

    def handle(self, *args: Any, **options: Any) -> None:
        redis = connections.client()
        try:
            findings = inspection.walk(redis, options["repair"])
            inspection.remember(redis, "inspect_queue", findings)
            unexplained = ledger.whole(redis).unexplained
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            raise CommandError(f"Redis cannot be reached: {error}") from error
        except (DatabaseError, InterfaceError) as error:
            raise CommandError(f"The database cannot be reached: {error}") from error
        if options["json"]:
            self.stdout.write(json.dumps({"findings": [asdict(one) for one in findings], "unexplained": unexplained}))
            return
        for finding in findings:
            self.stdout.write(f"{finding.job}: {finding.what}")
        verb = "put right" if options["repair"] else "found"
        self.stdout.write(f"{len(findings)} disagreements {verb}; unexplained in the ledger: {unexplained}.")
