"""What was received, as a page for people."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice

from django.template.loader import render_to_string

from automations.fake_graph.calls import Call
from automations.fake_graph.faults import Script

SHOWN = 200


def render(received: deque[Call], counts: Counter[str], scripts: Iterable[Script]) -> str:
    """HTML, the newest call first."""
    shown = [
        {"call": call, "at": datetime.fromtimestamp(call.at, UTC).strftime("%H:%M:%S.%f")[:-3]}
        for call in islice(reversed(received), SHOWN)
    ]
    context = {
        "shown": shown,
        "total": counts.total(),
        "counts": sorted(counts.items()),
        "scripts": list(scripts),
    }
    return render_to_string("automations/fake_graph.html", context)
