from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from queueops import alerting, alerts


class Command(BaseCommand):
    help = (
        "Looks at every condition, tells ALERT_EMAILS and ALERT_WEBHOOK_URL what they have not been told, and prints "
        "what is open; the exit code is 1 when something is. For cron: when neither worker nor web server runs, nobody "
        "else looks."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--older-than",
            type=float,
            default=alerting.TAKE_SECONDS,
            help="seconds since somebody looked last; within them only what is known is printed (%(default)s)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        alerting.turn(f"check_alerts {alerting.who()}", options["older_than"])
        found = alerts.open_now(most=1000)
        for alert in found:
            self.stdout.write(f"{alert.severity}: {alert.words} (since {alert.first_seen_at:%Y-%m-%d %H:%M} UTC)")
        if found:
            raise SystemExit(1)
        self.stdout.write("Nothing is wrong.")
