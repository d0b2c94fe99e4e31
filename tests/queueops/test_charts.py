"""Charts that the server draws, and what the overview's say."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from queueops import charts, history_charts, rollups
from queueops.charts import Chart, Line
from queueops.models import Rollup
from queueops.templatetags.queue_console import number

MIDNIGHT = 20_600 * 1440
NOW = (MIDNIGHT + 90) * 60 + 4.0


def chart(*values, **options):
    return Chart("Waiting", [Line("low", "low", values)], MIDNIGHT * 60, 60, number, **options)


def drawn(chart):
    return ElementTree.fromstring(chart.svg())


def paths(chart):
    return [path.get("d") for path in drawn(chart).iter("path")]


def test_a_line_is_one_stroke_and_a_gap_ends_it():
    (path,) = paths(chart(1, 2, None, 3))

    assert [len(re.findall("L", part)) for part in path.split("M")[1:]] == [2, 1]


def test_the_highest_value_is_at_most_at_the_top_and_nothing_at_the_bottom():
    (path,) = paths(chart(0, 50, 100))
    heights = [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]

    assert max(heights) == charts.HEIGHT - charts.BOTTOM
    assert min(heights) == charts.TOP


@pytest.mark.parametrize(
    ("highest", "levels"),
    [
        (100, ["0", "50", "100"]),
        (7, ["0", "2", "4", "6", "8"]),
        (1234, ["0", "500", "1,000", "1,500"]),
        (0, ["0", "1"]),
        (0.3, ["0", "0.1", "0.2", "0.3"]),
    ],
)
def test_levels_are_round_numbers(highest, levels):
    ticks = [text.text for text in drawn(chart(0, highest)).iter("text") if text.get("text-anchor") == "end"]

    assert ticks == levels


@pytest.mark.parametrize(
    ("oldest", "levels"),
    [
        (400, ["0", "2 min", "4 min", "6 min", "8 min"]),
        (9, ["0", "5 s", "10 s"]),
        (90_000, ["0", "12 h", "1 d", "1.5 d"]),
    ],
)
def test_ages_have_the_levels_of_a_clock(oldest, levels):
    drawing = drawn(chart(0.0, oldest, ticks=history_charts.AGES))

    assert [text.text for text in drawing.iter("text") if text.get("text-anchor") == "end"] == levels


@pytest.mark.parametrize("step", [60, 900, 7200, 86_400])
def test_the_time_axis_has_a_few_marks_that_do_not_overlap(step):
    long = Chart("Waiting", [Line("low", "low", [1.0] * 90)], MIDNIGHT * 60 + 120, step, number)
    places = [float(text.get("x")) for text in drawn(long).iter("text") if text.get("text-anchor") == "middle"]

    assert 3 <= len(places) <= 9
    assert all(after - before > 35 for before, after in pairwise(places))


def test_it_tells_those_who_cannot_see_it_what_it_shows():
    picture = drawn(chart(4, None, 9, 2))

    assert picture.get("role") == "img"
    assert [picture.find("title").text, picture.find("desc").text] == ["Waiting", "low: last 2, highest 9."]


def test_a_pointer_finds_the_values_of_each_instant():
    said = [rect.find("title").text for rect in drawn(chart(4, None, 9)).iter("rect")]

    assert [one[11:] for one in said] == ["00:00 UTC: low 4", "00:02 UTC: low 9"]


def test_words_are_escaped():
    one = Chart("<b>", [Line("<i>", "low", [1.0])], 0, 60, number)

    assert drawn(one).find("title").text == "<b>"


def rollup(minute, span=1, **fields):
    Rollup.objects.create(span=span, minute=minute, **fields)


def by_title(span="1h"):
    return {
        chart.title: {line.name: list(line.values) for line in chart.lines} for chart in history_charts.make(span, NOW)
    }


@pytest.mark.django_db
def test_the_last_hour_ends_with_the_last_finished_minute():
    rollup(MIDNIGHT + 89, counts={"n:completed": 7, "n:arrived:high": 3, "n:arrived:low": 1}, state={"waiting:low": 5})

    found = by_title()

    assert found["In and out"]["completed"] == [None] * 59 + [7]
    assert found["In and out"]["arrived"][-1] == 4
    assert found["Waiting"]["low"][-1] == 5


@pytest.mark.django_db
def test_a_stuck_lane_shows_by_the_age_of_its_oldest_while_nothing_ends():
    for n in range(60):
        rollup(MIDNIGHT + 30 + n, state={"oldest:high": 60.0 * n})

    found = by_title()

    assert found["Oldest waits"]["high"][-3:] == [57 * 60, 58 * 60, 59 * 60]
    assert found["Waiting in the lane"]["p99"] == [None] * 60


@pytest.mark.django_db
@pytest.mark.parametrize(("span", "row", "points"), [("24h", 15, 96), ("7d", 120, 84), ("90d", 1440, 90)])
def test_a_longer_span_reads_coarser_rows_and_its_rates_are_of_the_minutes_that_are_known(span, row, points):
    start = (MIDNIGHT + 90) // row * row
    rollup(start, row, minutes=5, counts={"n:completed": 50})
    rollup(start - row, row, minutes=row, counts={"n:completed": row * 2})

    completed = by_title(span)["In and out"]["completed"]

    assert (len(completed), completed[-2:]) == (points, [2, 10])


@pytest.mark.django_db
def test_percentiles_are_of_all_that_was_measured():
    rollup(MIDNIGHT + 89, counts={"ms:wait:10": 98, "ms:wait:30": 1, "ms:wait:40": 1})

    found = by_title()["Waiting in the lane"]

    assert found["p50"][-1] == pytest.approx(1.2**9.5, rel=0.01)
    assert found["p99"][-1] == pytest.approx(1.2**29.5, rel=0.01)


@pytest.mark.django_db
def test_a_second_look_takes_one_query_reads_only_what_has_grown_and_draws_nothing_twice(
    django_assert_num_queries, monkeypatch
):
    for day in range(3):
        rollup(MIDNIGHT - day * 1440, 1440, minutes=90, counts={"n:completed": 90})
    first = history_charts.make("90d", NOW)
    pictures = [chart.svg() for chart in first]
    read, of_minutes = [], rollups.of_minutes

    def noting(span, some):
        read.extend(some)
        return of_minutes(span, some)

    monkeypatch.setattr(rollups, "of_minutes", noting)

    with django_assert_num_queries(1):
        again = history_charts.make("90d", NOW + 60)
    assert [chart.svg() for chart in again] == pictures
    assert all(one is other for one, other in zip(first, again, strict=True))

    Rollup.objects.filter(minute=MIDNIGHT).update(minutes=91, counts={"n:completed": 182})
    with django_assert_num_queries(2):
        grown = history_charts.make("90d", NOW + 120)
    assert read == [MIDNIGHT]
    assert list(grown[0].lines[1].values)[-3:] == [1, 1, 2]


@pytest.mark.django_db
def test_a_row_that_goes_between_the_two_looks_is_a_gap(monkeypatch):
    rollup(MIDNIGHT + 89, counts={"n:completed": 7})
    monkeypatch.setattr(rollups, "of_minutes", lambda span, some: [])

    assert by_title()["In and out"]["completed"] == [None] * 60


@pytest.mark.django_db
def test_a_span_that_is_none_is_the_default():
    assert [chart.length for chart in history_charts.make("<script>", NOW)] == [60] * 8
