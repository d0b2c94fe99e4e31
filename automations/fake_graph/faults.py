"""Meta's bad days, by name: what each does to a call, and which calls a scripted one is for."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self

import orjson

from automations.fake_graph.calls import Call, Refused


class Effect(enum.StrEnum):
    """What the caller gets to see of a call."""

    ANSWER = "answer"
    CLOSE_UNRECORDED = "close_unrecorded"
    CLOSE_RECORDED = "close_recorded"
    HANG_RECORDED = "hang_recorded"


@dataclass(frozen=True, slots=True)
class Fault:
    """A refusal by Meta, or with another `effect` a connection that fails.

    limit: the `type` in the usage header, for faults that state when calls are let through again.
    """

    description: str
    effect: Effect = Effect.ANSWER
    message: str = ""
    code: int = 0
    subcode: int = 0
    status: int = 400
    is_transient: bool = False
    limit: str = ""

    def refuse(self, minutes: int) -> None:
        """Raise Refused, for the faults that are a refusal."""
        if self.effect is not Effect.ANSWER:
            return
        headers = {}
        if self.limit:
            usage = {
                "type": self.limit,
                "call_count": 100,
                "total_cputime": 25,
                "total_time": 25,
                "estimated_time_to_regain_access": minutes,
            }
            headers["X-Business-Use-Case-Usage"] = orjson.dumps({"1784140000000000": [usage]}).decode()
        raise Refused(self.message, self.code, self.subcode, self.status, self.is_transient, headers)


FAULTS: dict[str, Fault] = {
    "throttle": Fault(
        "429, code 80002, and the minutes until calls are let through again in X-Business-Use-Case-Usage",
        message="(#80002) There have been too many calls to this Instagram account.",
        code=80002,
        status=429,
        limit="instagram",
    ),
    "app_throttle": Fault(
        "429, code 4: the whole app has made too many calls",
        message="(#4) Application request limit reached",
        code=4,
        status=429,
    ),
    "expired_token": Fault(
        "400, code 190/463: the account's token has expired",
        message="Error validating access token: Session has expired",
        code=190,
        subcode=463,
    ),
    "outside_window": Fault(
        "400, code 10/2534022: more than 24 hours since the person wrote",
        message="(#10) This message is sent outside of allowed window.",
        code=10,
        subcode=2534022,
    ),
    "blocked": Fault("400, code 551: the person is unavailable", message="(#551) This person is unavailable", code=551),
    "already_replied": Fault(
        "400, code 100/2534025: the comment's one private reply is used",
        message="(#100) The comment is invalid for a private reply",
        code=100,
        subcode=2534025,
    ),
    "transient1": Fault("500, code 1: unknown error", message="An unknown error occurred", code=1, status=500),
    "transient2": Fault(
        "500, code 2, is_transient: service temporarily unavailable",
        message="Service temporarily unavailable",
        code=2,
        status=500,
        is_transient=True,
    ),
    "error500": Fault("500 without a body that says anything", status=500),
    "reset_before": Fault("the connection closes; the call is not recorded", Effect.CLOSE_UNRECORDED),
    "reset_after_recording": Fault("sent and recorded, then the connection closes unanswered", Effect.CLOSE_RECORDED),
    "hang": Fault("sent and recorded, then no answer ever", Effect.HANG_RECORDED),
}

MATCHED = ("account", "recipient", "kind", "text_contains")


@dataclass(slots=True)
class Script:
    """One fault for the calls that `match` describes, for the first `times` of them (None: all), by `probability`."""

    name: str
    match: dict[str, str] = field(default_factory=dict)
    times: int | None = None
    probability: float = 1.0
    minutes: int = 1

    def __post_init__(self) -> None:
        if self.name not in FAULTS:
            raise ValueError(f"unknown fault {self.name!r}: use one of {', '.join(FAULTS)}")
        if unknown := set(self.match) - set(MATCHED):
            raise ValueError(f"unknown match {', '.join(sorted(unknown))}: use {', '.join(MATCHED)}")
        if not 0 <= self.probability <= 1:
            raise ValueError(f"probability {self.probability} must be between 0 and 1")

    @property
    def fault(self) -> Fault:
        return FAULTS[self.name]

    @classmethod
    def from_text(cls, text: str) -> Self:
        """`throttle` or `throttle:times=3,account=17841456778752687`. Raises ValueError."""
        name, _, options = text.partition(":")
        given = {}
        for option in filter(None, options.split(",")):
            key, equals, value = option.partition("=")
            if not equals:
                raise ValueError(f"{option!r} must be name=value, as in throttle:times=3,kind=dm")
            given[key.strip()] = value.strip()
        return cls._from_options(name.strip(), given)

    @classmethod
    def from_json(cls, item: object) -> Self:
        """`{"fault": …, "match": {…}, "times": n, "probability": p, "minutes": n}`. Raises ValueError."""
        if not isinstance(item, dict) or not isinstance(item.get("match", {}), dict):
            raise ValueError('each fault must be an object such as {"fault": "throttle", "match": {"kind": "dm"}}')
        options = {**item.get("match", {}), **{key: item[key] for key in OPTIONS if item.get(key) is not None}}
        if unknown := set(item) - {"fault", "match", *OPTIONS}:
            raise ValueError(
                f"unknown key {', '.join(sorted(map(str, unknown)))}: use fault, match, {', '.join(OPTIONS)}"
            )
        return cls._from_options(str(item.get("fault")), options)

    @classmethod
    def _from_options(cls, name: str, options: dict[str, Any]) -> Self:
        match = {key: str(value) for key, value in options.items() if key not in OPTIONS}
        try:
            return cls(name, match, **{key: read(options[key]) for key, read in OPTIONS.items() if key in options})
        except TypeError as error:
            raise ValueError(f"times and minutes must be whole numbers, probability a number: {error}") from error

    def as_json(self) -> dict[str, Any]:
        return {
            "fault": self.name,
            "match": self.match,
            "times": self.times,
            "probability": self.probability,
            "minutes": self.minutes,
        }

    def concerns(self, call: Call) -> bool:
        wanted = self.match
        return (
            self.times != 0
            and call.account == wanted.get("account", call.account)
            and call.recipient == wanted.get("recipient", call.recipient)
            and call.kind == wanted.get("kind", call.kind)
            and wanted.get("text_contains", "") in call.text
        )


OPTIONS = {"times": int, "probability": float, "minutes": int}


def pick(scripts: Iterable[Script], call: Call, random: Random) -> Script | None:
    """The first script that concerns `call`; its `times` counts down."""
    for script in scripts:
        if script.concerns(call) and (script.probability >= 1 or random.random() < script.probability):
            if script.times is not None:
                script.times -= 1
            return script
    return None
