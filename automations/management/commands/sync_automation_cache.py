"""`manage.py sync_automation_cache`: makes changes past the ORM live, until it is told to stop."""

from __future__ import annotations

import signal
from threading import Event
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from automations import table_changes


class Command(BaseCommand):
    help = "Listens to PostgreSQL for changes made past the ORM (by SQL), and evicts what the workers remember of them."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if not table_changes.can_tell():
            raise CommandError(
                f"there is nothing to listen to: {connection.display_name} does not tell of changes. "
                "Make them through the console or Django, or use PostgreSQL."
            )
        stop = Event()
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, lambda *_: stop.set())
        table_changes.follow(stop, self._said)

    def _said(self) -> None:
        self.stdout.write("Listening for changes of accounts, automations and workspaces.")
        self.stdout.flush()
