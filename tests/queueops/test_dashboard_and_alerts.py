"""What deploy/ ships for Prometheus and Grafana asks only for what `GET /metrics` exports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from automations import measured
from queueops import alerts, exposition

ROOT = Path(__file__).resolve().parent.parent.parent
DASHBOARD = ROOT / "deploy/grafana/chatautodm.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
OPERATIONS = ROOT / "docs/operations/alerts.md"


def panels() -> Any:
    return json.loads(DASHBOARD.read_text())["panels"]


def rules() -> Any:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return group["rules"]


def expressions() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in rules())


@pytest.fixture
def exported(redis, db):
    """The names of all series, those of histograms as Prometheus keeps them."""
    names = set()
    for family in exposition.families(exposition.look(), measured.COUNTS):
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        names |= {family.name + ending for ending in endings}
    return names


def test_every_metric_that_is_asked_for_is_exported(exported):
    asked = {name for expression in expressions() for name in re.findall(r"chatautodm_\w+", expression)}

    assert asked <= exported


def test_every_metric_that_is_exported_is_on_the_dashboard(exported):
    shown = {
        name
        for panel in panels()
        for target in panel["targets"]
        for name in re.findall(r"chatautodm_\w+", target["expr"])
    }

    assert exported <= shown


def test_several_web_processes_that_say_the_same_are_not_added_up():
    """Each of them answers for the whole installation."""
    for expression in expressions():
        for name in re.finditer(r"chatautodm_\w+", expression):
            assert re.search(r"(max|absent)[^$]*$", expression[: name.start()]), expression


@pytest.mark.parametrize("expression", sorted(set(expressions())))
def test_an_expression_is_balanced_and_rates_only_counters(expression):
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    rated = re.findall(r"rate\((\w+)", expression)
    assert all(name.endswith(("_total", "_bucket", "_sum", "_count")) for name in rated)
    counters = re.findall(r"\w+_(?:total|bucket|sum|count)\b", expression)
    assert sorted(counters) == sorted(rated)


def test_an_alert_says_how_bad_it_is_what_it_saw_and_what_it_means():
    for rule in rules():
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_every_alert_is_explained_to_operators():
    explained = re.findall(r"^\| `(\w+)`", OPERATIONS.read_text(), re.MULTILINE)

    assert sorted(explained) == sorted([*(rule["alert"] for rule in rules()), *alerts.registered()])


def test_pages_that_alerts_name_exist():
    named = set(re.findall(r"docs/[\w/-]+\.md", ALERTS.read_text()))

    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_panels_have_ids_of_their_own_and_do_not_overlap():
    cells = [
        (column, row)
        for place in (panel["gridPos"] for panel in panels())
        for column in range(place["x"], place["x"] + place["w"])
        for row in range(place["y"], place["y"] + place["h"])
    ]

    assert len({panel["id"] for panel in panels()}) == len(panels())
    assert len(cells) == len(set(cells))
    assert max(column for column, _ in cells) < 24
