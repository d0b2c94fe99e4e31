from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from automations import reencryption


class Command(BaseCommand):
    help = "Writes every stored access token anew with the first of FIELD_ENCRYPTION_KEYS, so that an old key may go."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch", type=int, default=500, help="accounts read at a time (500)")
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch"] < 1:
            raise CommandError(f"--batch {options['batch']} must be at least 1.")
        report = reencryption.reencrypt(options["batch"], options["dry_run"])
        verb = "would be re-encrypted" if options["dry_run"] else "re-encrypted"
        changed = f", {report.changed_meanwhile} changed meanwhile: run it again" if report.changed_meanwhile else ""
        self.stdout.write(f"{report.reencrypted} tokens {verb}, {report.current} use the first key already{changed}.")
        if report.unreadable:
            raise CommandError(
                f"{len(report.unreadable)} tokens cannot be decrypted with any of FIELD_ENCRYPTION_KEYS: "
                f"{', '.join(report.unreadable)}. Add the key they were written with to the end of the list and run "
                "this again, or enter these accounts' tokens anew in the console."
            )
