from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from redis.exceptions import RedisError

from queueops import connections, switches, switching
from queueops.embedded import EmbeddedValkeyError
from queueops.jobs import Lane
from queueops.switches import Mode
from queueops.switching import DEFAULT, PAUSED, RESUMED, NotRecorded, Order


class Command(BaseCommand):
    help = (
        "Switches how webhooks are taken, in every process within 2 s: queue (into the lanes), direct (processed "
        "inside the request), paused (into the lanes, and nothing is sent). Without a mode it says which one holds."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("mode", nargs="?", choices=[*Mode, DEFAULT], help="default: what USE_QUEUE_SYSTEM says")
        parser.add_argument("--lane", choices=[lane.value for lane in Lane], help="of this lane only: paused or queue")
        parser.add_argument("--minutes", type=float, help="ends by itself after so many minutes")
        parser.add_argument("--reason", default="", help="why; shown on the console and in the audit log")

    def handle(self, *args: Any, **options: Any) -> None:
        minutes = options["minutes"]
        if minutes is not None and not 0 < minutes < float("inf"):
            raise CommandError("--minutes must be more than 0.")
        order = _order(options["mode"], options["lane"])
        try:
            if order is None:
                connections.client().ping()
                switches.look(connections.client())
            else:
                seconds = None if minutes is None or not order.sets else minutes * 60
                switching.carry_out(order, switching.by_shell(options["reason"]), seconds)
        except NotRecorded as error:
            self.stderr.write(str(error))
        except (RedisError, OSError, EmbeddedValkeyError) as error:
            raise CommandError(f"Redis cannot be reached, so nothing was switched: {error}") from error
        held = switches.current()
        for line in [held.mode_story(), *held.pause_stories()]:
            self.stdout.write(line)


def _order(mode: str | None, lane: str | None) -> Order | None:
    if mode is None:
        return None
    if lane is None:
        return Order(mode)
    if mode == Mode.DIRECT:
        raise CommandError("One lane can be paused, or resumed with `queue`; direct is for all of them.")
    return Order(PAUSED if mode == Mode.PAUSED else RESUMED, Lane(lane))
