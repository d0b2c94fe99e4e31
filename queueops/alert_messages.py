"""What destinations are told: several alerts are one message, and nothing secret is in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.urls import reverse

from queueops import alerts, scrubbing
from queueops.models import Alert
from queueops.templatetags.queue_console import duration

OPENED, STILL_OPEN, RESOLVED = "opened", "still open", "resolved"
# In one message: a hundred accounts without their owners are one thing to a person.
MOST_TOLD = 20
COLOURS = {OPENED: "danger", STILL_OPEN: "warning", RESOLVED: "good"}


@dataclass(frozen=True, slots=True)
class Notice:
    """One alert, and what there is to say about it: OPENED, STILL_OPEN or RESOLVED."""

    alert: Alert
    what: str

    @property
    def words(self) -> str:
        """No worker runs. / Resolved after 12 min 0 s: No worker runs."""
        if self.what == RESOLVED:
            return f"Resolved after {duration(lasted(self.alert))}: {self.alert.words}"
        return self.alert.words if self.what == OPENED else f"Still open: {self.alert.words}"

    @property
    def advice(self) -> str:
        condition = alerts.registered().get(self.alert.name)
        return f"{condition.advice} See {condition.page}." if condition and self.what != RESOLVED else ""


@dataclass(frozen=True, slots=True)
class Message:
    """title: one line. text: all of it, for people. attachments: the same in Slack's form."""

    title: str
    text: str
    attachments: list[dict[str, Any]]


def lasted(alert: Alert) -> float:
    """From when it was first seen until it was seen last, in seconds."""
    return (alert.last_seen_at - alert.first_seen_at).total_seconds()


def address(alert: Alert) -> str:
    """Its page in the console; "" when nobody has said where the console is."""
    if not settings.CONSOLE_URL:
        return ""
    return settings.CONSOLE_URL + reverse("admin:queueops_alert_change", args=[alert.pk])


def compose(notices: Sequence[Notice]) -> Message:
    """One message about all of them; of more than MOST_TOLD the rest by number."""
    told, rest = notices[:MOST_TOLD], len(notices) - MOST_TOLD
    more = [f"And {rest} more: see the console's page Alerts."] if rest > 0 else []
    text = "\n\n".join([*map(_paragraph, told), *more])
    attachments = [_attachment(notice) for notice in told]
    return Message(f"[ChatAutoDM] {_title(notices)}", f"{text}\n", scrubbing.scrub_all(attachments))


def trial(now: datetime) -> Message:
    """What `manage.py test_alert` sends."""
    text = f"This is a test: alerts of ChatAutoDM arrive here. Sent {_written(now)}. Nothing is wrong."
    return Message("[ChatAutoDM] Test", f"{text}\n", [{"color": "good", "fallback": text, "fields": []}])


def _title(notices: Sequence[Notice]) -> str:
    first = notices[0].words
    return first if len(notices) == 1 else f"{first} And {len(notices) - 1} more."


def _paragraph(notice: Notice) -> str:
    alert = notice.alert
    facts = [("Since", _written(alert.first_seen_at)), ("Act", alert.get_severity_display())]
    lines = [notice.words, *(f"  {name}: {value}" for name, value in facts)]
    lines += [f"  {line}" for line in (notice.advice, address(alert)) if line]
    return scrubbing.scrub("\n".join(lines))


def _attachment(notice: Notice) -> dict[str, Any]:
    alert = notice.alert
    facts = {
        "Alert": alert.name,
        "About": alert.subject,
        "State": notice.what,
        "Act": alert.get_severity_display(),
        "Since": _written(alert.first_seen_at),
        "Resolved": _written(alert.closed_at) if alert.closed_at else "",
        "What to do": notice.advice,
    }
    link = address(alert)
    return {
        "color": COLOURS[notice.what],
        "fallback": notice.words,
        "title": notice.words,
        **({"title_link": link} if link else {}),
        "fields": [{"title": name, "value": value, "short": len(value) < 40} for name, value in facts.items() if value],
    }


def _written(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
