"""`manage.py prove_durability`: pull every plug, and show that nothing was lost and nothing sent twice."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection

from chatautodm import local
from chatautodm.drill import surroundings

MAX_SEED = 10**6


class Stopped(Exception):
    """SIGINT or SIGTERM came."""


def seeds(text: str) -> range:
    """`7` or `1..20`."""
    match = re.fullmatch(r"(\d{1,6})(?:\.\.(\d{1,6}))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number below {MAX_SEED}, or a range such as 1..20")
    return range(int(match[1]), int(match[2] or match[1]) + 1)


class Command(BaseCommand):
    help = (
        "Runs the whole product on loopback, kills, fills and cuts everything in it while webhooks come in, and "
        "compares what was acknowledged with what was sent. Fails unless lost, doubled and unexplained are 0. It uses "
        "a Valkey and a folder of its own, and on PostgreSQL a database of its own beside the one that DATABASE_URL "
        "names."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=seeds, help="the faults' order: a number, or a range 1..20; default: random")
        parser.add_argument("--webhooks", type=int, help="first deliveries; default: 40 a second, short: 30")
        parser.add_argument("--seconds", type=float, help="how long they and the faults come; default: 60, short: 15")
        parser.add_argument("--short", action="store_true", help="without the faults that take a minute to pass")
        parser.add_argument("--keep", action="store_true", help="keep the folder, with its logs, and the database")

    def handle(self, *args: Any, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _stop)
        failed = []
        try:
            for seed in options["seed"] or [secrets.randbelow(MAX_SEED)]:
                if not self._drill(seed, options):
                    failed.append(seed)
        except Stopped:
            raise CommandError("stopped; everything that was started has ended") from None
        except (DatabaseError, OSError) as error:
            raise CommandError(f"the drill cannot be set up: {str(error).splitlines()[0]}") from error
        if failed:
            raise CommandError("failed with seed " + ", ".join(map(str, failed)))

    def _drill(self, seed: int, options: dict[str, Any]) -> bool:
        seconds = options["seconds"] or (15.0 if options["short"] else 60.0)
        webhooks = options["webhooks"] or int((30 if options["short"] else 40) * seconds)
        with _folder(keep=options["keep"]) as folder, surroundings.made(folder, options["keep"]) as around:
            self.stdout.write(
                f"seed {seed}: {webhooks} webhooks in {seconds:.0f} s, {connection.vendor}"
                + (f", {folder}" if options["keep"] else "")
            )
            self.stdout.flush()
            arguments = {
                "folder": folder,
                "seed": seed,
                "webhooks": webhooks,
                "seconds": seconds,
                "patience": 100 if options["short"] else 180,
                "behind": around.behind,
            }
            command = [sys.executable, "-W", "ignore", "-m", "chatautodm.drill"]
            command += [f"--{name}={value}" for name, value in arguments.items()]
            code = _run([*command, *(["--short"] if options["short"] else [])], around.environment)
        self.stdout.write(f"seed {seed}: {'passed' if code == 0 else 'FAILED'}\n\n")
        return code == 0


@contextlib.contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    # A short path: a socket's may have at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="cad-drill-"))
    try:
        yield folder
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _run(command: list[str], environment: dict[str, str]) -> int:
    """The exit code. Should this process be told to end, or killed, the other ends everything that it started."""
    child = subprocess.Popen(  # noqa: S603 - our own module
        command,
        env=environment,
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=local.stop_with_parent,
    )
    try:
        return child.wait()
    finally:
        local.stop(local.Child("drill", child, Path(os.devnull)))


def _stop(signum: int, frame: FrameType | None) -> None:
    raise Stopped
