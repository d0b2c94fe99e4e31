"""Who may be written to: the 24-hour window, and one private reply to a comment ever (FACTS section 6)."""

from __future__ import annotations

from datetime import UTC, datetime

from automations.fake_graph.calls import Call, Refused

WINDOW_SECONDS = 24 * 3600
# Enough for any run on one machine; the oldest are forgotten first.
MAX_REMEMBERED = 500_000


class Conversations:
    """What Meta would know about who wrote when, and which comments were answered.

    People it was never told about may be written to, unless `strict`.
    """

    def __init__(self, strict: bool = False) -> None:
        self.strict = strict
        self._last_inbound: dict[tuple[str, str], float] = {}
        self._replied: dict[str, None] = {}

    def note_inbound(self, account: str, person: str, at: float) -> None:
        """`person` wrote to `account`, at `at` seconds since 1970."""
        for name in (account, "me"):
            key = (name, person)
            self._last_inbound[key] = max(at, self._last_inbound.get(key, at))
        while len(self._last_inbound) > MAX_REMEMBERED:
            del self._last_inbound[next(iter(self._last_inbound))]

    def admit(self, call: Call) -> None:
        """Remember a private reply. Raises Refused for what Meta's rules forbid."""
        if call.kind == "dm":
            self._check_window(call)
        elif call.kind == "private_reply":
            if call.recipient in self._replied:
                raise Refused("(#100) The comment is invalid for a private reply", 100, 2534025)
            self._replied[call.recipient] = None
            if len(self._replied) > MAX_REMEMBERED:
                del self._replied[next(iter(self._replied))]

    def _check_window(self, call: Call) -> None:
        last = self._last_inbound.get((call.account, call.recipient))
        if call.at - last > WINDOW_SECONDS if last is not None else self.strict:
            raise Refused("(#10) This message is sent outside of allowed window.", 10, 2534022)


def seconds(at: object, now: float) -> float:
    """A time as given to the fake: seconds or milliseconds since 1970, ISO 8601, or None for now. Raises ValueError."""
    if at is None:
        return now
    if isinstance(at, str):
        moment = datetime.fromisoformat(at)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(at, int | float):
        return at / 1000 if at > 100_000_000_000 else float(at)
    raise ValueError(f"at={at!r} must be seconds or milliseconds since 1970, or ISO 8601")
