from __future__ import annotations

import getpass
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from queueops import switches
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Lane
from queueops.switches import Mode


class Command(BaseCommand):
    help = (
        "Switches how webhooks are taken, in every process within 2 s: queue (into the lanes), direct (processed "
        "inside the request), paused (into the lanes, and nothing is sent). Without a mode it says which one holds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("mode", nargs="?", choices=[*Mode, "default"], help="default: what USE_QUEUE_SYSTEM says")
        parser.add_argument("--lane", choices=[lane.value for lane in Lane], help="of this lane only: paused or queue")
        parser.add_argument("--minutes", type=float, help="ends by itself after so many minutes")
        parser.add_argument("--reason", default="", help="why; shown on the console")

    def handle(self, *args: Any, **options: Any) -> None:
        minutes, mode = options["minutes"], options["mode"]
        if minutes is not None and minutes <= 0:
            raise CommandError("--minutes must be more than 0.")
        seconds = None if minutes is None else minutes * 60
        try:
            if mode is None:
                switches.look()
            elif options["lane"]:
                self._switch_lane(Lane(options["lane"]), mode, options["reason"], seconds)
            elif mode == "default":
                switches.reset_mode()
            else:
                switches.set_mode(Mode(mode), options["reason"], _who(), seconds)
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            raise CommandError(f"Redis cannot be reached, so nothing was switched: {error}") from error
        self._say()

    def _switch_lane(self, lane: Lane, mode: str, reason: str, seconds: float | None) -> None:
        if mode == Mode.PAUSED:
            switches.pause(lane, reason, _who(), seconds)
        elif mode in (Mode.QUEUE, "default"):
            switches.resume(lane)
        else:
            raise CommandError("One lane can be paused, or resumed with `queue`; direct is for all of them.")

    def _say(self) -> None:
        current = switches.current()
        self.stdout.write(f"mode: {current.mode}{_details(current.get(switches.MODE))}")
        for lane in Lane:
            if found := current.get(switches.lane_name(lane)):
                self.stdout.write(f"lane {lane}: paused{_details(found)}")


def _details(switch: switches.Switch | None) -> str:
    if switch is None:
        return ""
    until = "" if switch.until is None else f", ends in {max(switch.until - time.time(), 0) / 60:.0f} min"
    reason = f": {switch.reason}" if switch.reason else ""
    return f" (by {switch.by}{until}{reason})"


def _who() -> str:
    """Whose shell it is; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "shell"
