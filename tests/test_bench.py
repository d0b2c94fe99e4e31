"""What the benchmarks' figures are made of, as far as it can break without anybody measuring."""

from __future__ import annotations

import pytest
from django.db import connection

from bench import pages
from bench.report import Report, Section
from bench.results import Row

HERE = ("2 cores", "bullmq 6")


def row(mine: float, theirs: float, target: float | None = None) -> Row:
    return Row(measure="webhooks", unit="/s", ours=(mine,), peer=(theirs,), peer_name="the peer", target=target)


def section(name: str, mine: float = 1.0) -> Section:
    return Section(name, [row(mine, 1.0)], 0.0, "2026-01-01", 5)


@pytest.mark.django_db
@pytest.mark.parametrize("statement", pages.ROWS.values(), ids=pages.ROWS)
def test_the_rows_of_the_console_s_benchmark_fit_its_tables(statement):
    with connection.cursor() as cursor:
        cursor.execute(pages.of_rows(statement, 3))


@pytest.mark.parametrize(
    ("mine", "target", "verdict"),
    [
        (1.06, None, "ahead"),
        (1.04, None, "level"),
        (0.94, None, "behind"),
        (1.0, 1.0, "reached (≥ 1 x)"),
        (0.95, 1.0, "level (≥ 1 x)"),
        (0.94, 1.0, "MISSED (≥ 1 x)"),
        (0.89, 0.9, "MISSED (≥ 0.9 x)"),
    ],
)
def test_a_row_is_ahead_or_misses_its_target_only_beyond_the_noise_between_two_identical_stacks(mine, target, verdict):
    assert row(mine, 1.0, target).verdict == verdict


def test_what_is_measured_anew_takes_its_place_and_the_rest_stays():
    order = ("ingest", "worker")
    before = Report([section("worker"), section("ingest")], *HERE).as_markdown(order=order)

    after = Report([section("worker", 3.0)], *HERE).as_markdown(before, order)

    assert after.index("## ingest") < after.index("## worker")
    assert "3.00 x" in after
    assert after.count("1.00 x") == before.count("1.00 x") - 1
    assert Report([], *HERE).as_markdown(after, order) == after
