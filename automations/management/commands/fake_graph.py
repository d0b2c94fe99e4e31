"""`manage.py fake_graph`: the fake Graph API, for development, tests and benchmarks."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from typing import Any

import uvloop
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from automations.fake_graph import FakeGraph
from automations.fake_graph.echoes import Echoes
from automations.fake_graph.faults import FAULTS, Script

EPILOG = """faults, as --fault NAME or --fault NAME:times=3,kind=dm
(any of: times, probability, account, recipient, kind, text_contains, and minutes for throttle):
{table}

while it runs:
  GET    /                what was received, newest first
  GET    /_fake/received  the same as JSON, oldest first; DELETE forgets it
  GET    /_fake/stats     exact counts, however many calls
  POST   /_fake/faults    [{{"fault": "throttle", "match": {{"kind": "dm"}}, "times": 3}}]; DELETE ends them all
  POST   /_fake/inbound   {{"account": "…", "person": "…", "at": "2026-01-31T12:00:00Z"}}: opens the 24-hour window;
                          with "comment": "…" as well it says who wrote that comment, for the echo of its answer
"""


class HelpFormatter(DjangoHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Django's, with the tables' lines left as they are."""


def fault(text: str) -> Script:
    try:
        return Script.from_text(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:  # uvloop would take it modulo 65536
        raise argparse.ArgumentTypeError(f"{text} must be between 0 and 65535")
    return number


class Command(BaseCommand):
    help = "Runs a fake Graph API on loopback: Meta's answers and rules, and scripted faults."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.formatter_class = HelpFormatter
        parser.epilog = EPILOG.format(table="\n".join(f"  {name:22}{it.description}" for name, it in FAULTS.items()))
        parser.add_argument("--port", type=port, default=8090, help="0: any free one")
        parser.add_argument("--latency-ms", type=float, default=50, help="before each answer")
        parser.add_argument("--fault", type=fault, action="append", default=[], help="may be repeated; see below")
        parser.add_argument(
            "--strict-window", action="store_true", help="refuse messages to people it was never told about"
        )

        parser.add_argument(
            "--echo",
            metavar="URL",
            help="post signed echoes of what was sent there, as in http://127.0.0.1:8000/api/webhooks/instagram",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        echoes = Echoes(options["echo"], settings.INSTAGRAM_APP_SECRET[0]) if options["echo"] else None
        fake = FakeGraph(options["latency_ms"], options["strict_window"], echoes=echoes)
        fake.scripts += options["fault"]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self.serve(fake, options["port"]))
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else error
                raise CommandError(f"cannot listen on port {options['port']}: {reason}; try --port 0") from error

    async def serve(self, fake: FakeGraph, port: int) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        self.stdout.write(f"Fake Graph API on {await fake.start(port)}")
        self.stdout.flush()
        try:
            await stop.wait()
        finally:
            await fake.stop()
