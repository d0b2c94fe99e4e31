from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django_rq.management.commands import rqworker

from queueops import connections
from queueops.embedded import EmbeddedValkeyError


class Command(rqworker.Command):
    """django-rq's command with this project's worker, serializer and scheduler as its defaults."""

    help = "Runs a worker for the given lanes: manage.py rqworker high default low"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--without-scheduler", action="store_false", dest="with_scheduler", help="Do not move due retries"
        )
        parser.set_defaults(with_scheduler=True, serializer="rq.serializers.JSONSerializer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            connections.ensure_server()
        except EmbeddedValkeyError as error:
            raise CommandError(str(error)) from error
        super().handle(*args, **options)
