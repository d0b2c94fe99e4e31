from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from queueops import alert_messages, destinations
from queueops.destinations import Undelivered


class Command(BaseCommand):
    help = "Sends a test to each destination of alerts and says what came back."

    def handle(self, *args: Any, **options: Any) -> None:
        sends = destinations.configured()
        if not sends:
            raise CommandError("Alerts reach nobody. Set ALERT_EMAILS (with EMAIL_URL), ALERT_WEBHOOK_URL, or both.")
        message = alert_messages.trial(timezone.now())
        failed = []
        for name, send in sends.items():
            try:
                self.stdout.write(f"{name}: {send(message)}")
            except Undelivered as error:
                self.stdout.write(f"{name}: not delivered: {error}")
                failed.append(name)
        if failed:
            raise CommandError(f"Nothing arrives by {' and '.join(failed)}.")
