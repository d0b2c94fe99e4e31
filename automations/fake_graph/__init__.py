"""A Graph API to develop, test and measure against: Meta's answers and rules, and its bad days on request."""

from __future__ import annotations

from automations.fake_graph.calls import Call
from automations.fake_graph.server import FakeGraph

__all__ = ["Call", "FakeGraph"]
