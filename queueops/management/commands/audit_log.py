from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from queueops import audit
from queueops.audit_export import FORMATS
from queueops.models import AuditEntry


class Command(BaseCommand):
    help = "The audit log: `verify` checks every seal and says where the chain breaks, `export` prints it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("what", choices=["verify", "export"])
        parser.add_argument("--format", choices=list(FORMATS), default="jsonl", help="of the export")
        parser.add_argument(
            "--kept",
            metavar="NUMBER:SEAL",
            help="verify: an entry's seal that was kept elsewhere must still be its seal",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["what"] == "export":
            for line in FORMATS[options["format"]][1](AuditEntry.objects.all()):
                self.stdout.write(line, ending="")
            return
        checked = audit.verify()
        if checked.broken_at is not None:
            raise CommandError(f"The chain breaks at entry {checked.broken_at}: {checked.problem}.")
        if options["kept"]:
            self._compare(options["kept"])
        self.stdout.write(f"All {checked.entries} seals hold. The last one is {checked.last_seal}.")

    def _compare(self, kept: str) -> None:
        number, _, seal = kept.partition(":")
        if not (number.isdecimal() and seal):
            raise CommandError(f"--kept {kept!r} must be NUMBER:SEAL, as the log line of the entry says them.")
        if not AuditEntry.objects.filter(number=int(number), seal=seal).exists():
            raise CommandError(f"Entry {number} has another seal than the one kept: the log was rewritten.")
