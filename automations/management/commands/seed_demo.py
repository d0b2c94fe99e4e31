from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from automations import demo


class Command(BaseCommand):
    help = "Writes the demo workspace, accounts and rules; safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--print-token", action="store_true", help="print a demo API key alone on the last line")
        parser.add_argument("--accounts", default="", metavar="ID,ID,…", help="the same rules for further accounts")

    def handle(self, *args: Any, **options: Any) -> None:
        further = [account.strip() for account in options["accounts"].split(",") if account.strip()]
        if wrong := [account for account in further if not account.isascii() or not account.isdecimal()]:
            raise CommandError(f"--accounts takes Instagram user ids (digits), not {', '.join(wrong)}.")
        accounts = demo.seed(further)
        self.stdout.write(f"Demo rules are in place for {len(accounts)} accounts of the workspace {demo.WORKSPACE}.")
        if settings.DEBUG:
            key = demo.seed_user()
            self.stdout.write(f"Log in at /admin/ as {demo.USER} / {demo.USER}.")
        else:
            self.stdout.write("DEBUG is off: nobody was made who can log in. Do it with: manage.py createsuperuser")
            key = demo.seed_api_user() if options["print_token"] else ""
        if options["print_token"]:
            self.stdout.write(key)
