from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django_rq.management.commands import rqworker

from queueops import breaker, connections, understudy
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Lane


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
        # RQ's worker cannot be born without Redis: until it answers, the database tier is worked from by itself.
        name = options["name"] or f"stand-in-{os.getpid()}"
        if not breaker.is_writable() and not options["burst"] and not understudy.stand_in(name, args or list(Lane)):
            return
        super().handle(*args, **options)
