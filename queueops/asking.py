"""What somebody at a terminal wants switched: asked for by keys, and done only after a y."""

from __future__ import annotations

from queueops import switches
from queueops.jobs import Lane
from queueops.switching import DEFAULT, ORDERS, PAUSED, RESUMED, Order

MODES = {"q": "queue", "d": "direct", "p": "paused", "u": DEFAULT}
WHICH = f"Switch the mode to {', '.join(f'{key}: {mode}' for key, mode in MODES.items())}; any other key: nothing"


class Asking:
    """A question at a time. lane: the selected one. said: what is shown in answer to the last key."""

    def __init__(self) -> None:
        self.lane = Lane.HIGH
        self.said = ""
        self._which_mode = False
        self._wanted: Order | None = None

    @property
    def is_open(self) -> bool:
        """Whether the next key answers a question."""
        return self._which_mode or self._wanted is not None

    def press(self, key: str) -> Order | None:
        """The order, once it has been confirmed."""
        if not key:
            return None
        wanted, self._wanted = self._wanted, None
        self.said = ""
        if wanted is not None:
            return self._confirmed(wanted, key)
        if self._which_mode:
            self._which_mode = False
            if key in MODES:
                self._ask(ORDERS["mode", MODES[key]])
        elif key == "s":
            self._which_mode, self.said = True, WHICH
        elif key == "p":
            self._ask(ORDERS[self.lane, RESUMED if switches.current().pause_of(self.lane) else PAUSED])
        elif key in {"up", "down"}:
            lanes = list(Lane)
            self.lane = lanes[(lanes.index(self.lane) + (1 if key == "down" else -1)) % len(lanes)]
        return None

    def _ask(self, order: Order) -> None:
        self._wanted, self.said = order, f"{order.title}? y: yes, any other key: no"

    def _confirmed(self, order: Order, key: str) -> Order | None:
        if key == "y":
            return order
        self.said = "Nothing was switched."
        return None
