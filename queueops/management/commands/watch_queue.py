from __future__ import annotations

import contextlib
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError
from rich.console import Console
from rich.live import Live

from queueops import keyboard, stats, switching, terminal
from queueops.embedded import EmbeddedValkeyError
from queueops.switching import NotRecorded, Order
from queueops.watching import Watch


class Command(BaseCommand):
    help = (
        "Shows the queue live: lanes, ledger, workers, cache, the rate as bars. Keys: 1 to 4 or arrows for the tabs; "
        "up and down select a lane, p pauses or resumes it, s switches the mode, both after a y; q stops. Where the "
        "output is no terminal it prints one snapshot after the other."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--interval", type=float, default=1.0, help="seconds between looks (default: %(default)s)")

    def handle(self, *args: Any, **options: Any) -> None:
        interval = options["interval"]
        if not 0.1 <= interval <= 3600:
            raise CommandError(f"--interval {interval} must be from 0.1 to 3600 seconds.")
        console = Console(file=self.stdout)  # type: ignore[arg-type] # a stream in all but name
        with contextlib.suppress(KeyboardInterrupt):
            if console.is_terminal:
                _live(console, interval)
            else:
                _plainly(console, interval)


def _live(console: Console, interval: float) -> None:
    watch = Watch(_carry_out)
    with keyboard.keys() as wait, Live(console=console, screen=True, auto_refresh=False) as live:
        snapshot, looked_at = _look(watch)
        goes_on = True
        while goes_on:
            live.update(watch.view(snapshot), refresh=True)
            goes_on = watch.press(wait(max(looked_at + interval - time.monotonic(), 0.0)))
            if time.monotonic() >= looked_at + interval:
                snapshot, looked_at = _look(watch)


def _carry_out(order: Order) -> str:
    try:
        has_changed = switching.carry_out(order, switching.by_shell("watch_queue"))
    except NotRecorded as error:
        return str(error)
    except (RedisError, OSError, EmbeddedValkeyError) as error:
        return f"Redis cannot be reached, so nothing was switched: {error}"
    return f"{order.done}." if has_changed else f"Nothing to do: {order.done}."


def _look(watch: Watch) -> tuple[dict[str, Any], float]:
    snapshot, at = stats.snapshot(), time.monotonic()
    watch.note(snapshot, at)
    return snapshot, at


def _plainly(console: Console, interval: float) -> None:
    with keyboard.keys() as wait:
        goes_on = True
        while goes_on:
            console.print(time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
            console.print(terminal.view(stats.snapshot()))
            console.file.flush()
            goes_on = wait(interval) != "q"
