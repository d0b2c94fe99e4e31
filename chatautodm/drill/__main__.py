"""`python -m chatautodm.drill`: one drill, in the surroundings that `manage.py prove_durability` made."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import django
import uvloop


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """The exit code: 0 when all is accounted for, 1 when something was lost, doubled or is open, 2 for no result."""
    parser = argparse.ArgumentParser(prog="python -m chatautodm.drill", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--webhooks", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--patience", type=float, required=True)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--behind", default="")
    order = drill.Order(**vars(parser.parse_args()), web=os.environ["WEB_BIND"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            course = runner.run(_until_told_to_end(order))
        except LocalRunError as error:
            say(f"  no result: {error}")
            return 2
        except (asyncio.CancelledError, KeyboardInterrupt):
            return 2
    for line in report.lines(course):
        say(line)
    return 0 if course.verdict.is_good else 1


async def _until_told_to_end(order: drill.Order) -> drill.Course:
    running = asyncio.ensure_future(drill.run(order, say))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    return await running


if __name__ == "__main__":
    # Before anything that needs the settings is imported.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatautodm.settings")
    django.setup()
    logging.disable(logging.INFO)
    from chatautodm.drill import drill, report
    from chatautodm.local import LocalRunError

    sys.exit(main())
