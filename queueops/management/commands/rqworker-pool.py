from __future__ import annotations

import importlib
from typing import Any

from django.core.management.base import CommandError, CommandParser

from queueops import connections
from queueops.embedded import EmbeddedValkeyError

rqworker_pool = importlib.import_module("django_rq.management.commands.rqworker-pool")


class Command(rqworker_pool.Command):  # type: ignore[name-defined] # a module whose name holds a hyphen
    """django-rq's command with this project's worker and serializer as its defaults."""

    help = "Runs several workers for the given lanes: manage.py rqworker-pool high default low --num-workers 4"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(serializer="rq.serializers.JSONSerializer")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            connections.ensure_server()
        except EmbeddedValkeyError as error:
            raise CommandError(str(error)) from error
        super().handle(*args, **options)
