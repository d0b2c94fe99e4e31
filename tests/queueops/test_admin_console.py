"""The console's overview: the snapshot as a person reads it."""

from __future__ import annotations

import time

import pytest
from django.utils import timezone

from queueops import alerting, connections, console, dispatch, panels, taking
from queueops.jobs import Batch
from queueops.models import Alert, Rollup
from queueops.panels import Cell, Panel
from tests.people import person, superuser
from tests.queueops.letters import row

pytestmark = pytest.mark.django_db

OVERVIEW = "/admin/queueops/console/"


@pytest.fixture
def page(client):
    client.force_login(superuser())
    return lambda path=OVERVIEW: client.get(path).content.decode()


def test_it_says_how_old_it_is_and_in_which_mode(page):
    text = page()

    assert "Mode: queue" in text
    assert "As of <time" in text


def test_an_unexplained_difference_is_an_alarm(page, redis):
    assert "unexplained.</b>" not in page()
    redis.hincrby("cad:ledger", "received", 3)
    assert "3 events are unexplained." in page()


def test_a_lane_that_no_worker_listens_to_is_a_warning(page, redis):
    assert "No worker listens to high, default, low." in page()
    redis.sadd("rq:workers", "rq:worker:w1")
    redis.hset("rq:worker:w1", mapping={"queues": "high,default", "state": "idle", "alive_at": time.time()})
    assert "No worker listens to low." in page()


def test_what_stands_there_as_an_alert_is_said_once(page, redis):
    redis.hincrby("cad:ledger", "received", 3)
    alerting.turn("w1")
    now = timezone.now()
    Alert.objects.filter(name="unexplained").update(opened_at=now)
    Alert.objects.filter(name="no_worker").update(opened_at=now)
    text = page()

    assert text.count("3 events are unexplained") == 1
    assert text.count("nobody claims from high, default, low") == 1
    assert "No worker listens to" not in text


def test_an_alert_about_one_lane_leaves_the_others_to_be_said(page):
    since = dict.fromkeys(("first_seen_at", "opened_at", "last_seen_at"), timezone.now())
    Alert.objects.create(name="no_worker", subject="low", severity="page", words="Lane low has none.", **since)

    assert "No worker listens to high, default." in page()


def test_who_may_not_see_alerts_is_told_all_the_same(client, redis):
    client.force_login(person("queueops.view_console"))
    redis.hincrby("cad:ledger", "received", 3)
    alerting.turn("w1")
    Alert.objects.update(opened_at=timezone.now())

    assert client.get(OVERVIEW).content.decode().count("3 events are unexplained") == 1


def test_ignored_events_are_counted_by_name(page):
    dispatch.dispatch_sync(Batch(ignored={"story_insights": 2}))
    assert "Story insights</dt><dd>2</dd>" in page()


def test_an_unusable_body_is_listed_and_shown_escaped(page, redis):
    dispatch.dispatch_sync(Batch(kept=(("not JSON", b"<script>alert(1)</script>\xff\x00"),)))
    ((entry_id, _),) = redis.xrange(taking.KEPT_KEY)
    address = f"{OVERVIEW}kept/{entry_id.decode()}/"

    assert address in page()
    text = page(address)

    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\xff" in text
    assert "<script>alert(1)" not in text
    assert "not JSON" in text


@pytest.mark.parametrize("entry_id", ["1-1", "no-id", "-"])
def test_a_body_that_is_no_longer_kept_is_404(client, entry_id):
    client.force_login(superuser())
    assert client.get(f"{OVERVIEW}kept/{entry_id}/").status_code == 404


def test_the_last_dead_letters_are_linked(page):
    letter = row("e1", error="Session has <expired>")

    text = page()

    assert f"/admin/queueops/deadletter/{letter.pk}/change/" in text
    assert "Session has &lt;expired&gt;" in text


def test_while_redis_is_away_it_says_so_and_shows_no_numbers(page, settings, monkeypatch):
    settings.QUEUE_REDIS_URL = "unix:///nowhere/valkey.sock"
    monkeypatch.setattr(connections, "_client", None)

    text = page()

    assert "Redis cannot be reached." in text
    assert "<dt>Received</dt><dd>-</dd>" in text


def test_it_needs_its_permission(client):
    client.force_login(person())
    assert client.get(OVERVIEW).status_code == 403
    assert client.get(f"{OVERVIEW}kept/1-1/").status_code == 403


def test_a_monitor_sees_no_letters(client):
    row("e1", error="private words")
    client.force_login(person("queueops.view_console"))

    answer = client.get(OVERVIEW)

    assert answer.status_code == 200
    assert "private words" not in answer.content.decode()


def test_the_first_page_of_the_admin_is_the_overview_for_those_who_may_see_it(client):
    client.force_login(person("queueops.view_console"))
    assert "Mode: queue" in client.get("/admin/").content.decode()
    client.force_login(person(name="tom"))
    assert "Mode: queue" not in client.get("/admin/").content.decode()


def test_it_is_readable_without_javascript(page):
    assert "html[x-cloak] { display: block !important; }" in page()


def test_the_navigation_counts_the_dead_letters(page, monkeypatch, rf):
    monkeypatch.setattr(console, "BADGE_COUNTS_TO", 2)
    request = rf.get("/")
    request.user = superuser("eve")
    assert console.dead_badge(request) == ""
    row("e1")
    assert console.dead_badge(request) == "1"
    row("e2")
    row("e3")
    assert console.dead_badge(request) == "2+"


def test_it_takes_few_queries(client, django_assert_max_num_queries):
    for n in range(10):
        row(f"e{n}")
    client.force_login(superuser())
    # Session, user, badges, letters, the database tier's rows and counts; charts, objectives, accounts, what is put
    # off; open alerts.
    with django_assert_max_num_queries(14):
        client.get(OVERVIEW)


def test_the_navigation_shows_no_badge_while_no_letter_is_dead(page):
    assert "cad-badge" not in page()
    row("e1")
    assert '<span class="cad-badge">1</span>' in page()


def test_each_lane_says_what_limits_it(page, put):
    put("note", "a")
    text = page()
    assert "No worker listens to it." in text
    assert "Nothing waits." in text


def test_a_worker_says_where_it_runs_and_what_it_is(page, redis):
    redis.sadd("rq:workers", "rq:worker:w1")
    about = {"hostname": "web-1", "pid": "4711", "release": "0.1.0", "memory_bytes": "52428800"}
    redis.hset("rq:worker:w1", mapping={"queues": "high", "state": "idle", "alive_at": time.time(), **about})

    text = page()

    assert "web-1, 4711" in text
    assert "50.0 MB" in text


@pytest.mark.parametrize("span", ["1h", "24h", "7d", "90d"])
def test_charts_of_every_span_are_links_away(page, span):
    Rollup.objects.create(span=1, minute=int(time.time() // 60) - 1, counts={"n:completed": 3})

    text = page(f"{OVERVIEW}?span={span}")

    assert f'aria-current="true" href="{OVERVIEW}?span={span}"' in text
    assert text.count('class="cad-figure"') == 8
    assert 'data-refresh="/admin/queueops/console/body/?span=' + span in text


def test_it_refreshes_by_a_script_of_its_own_and_without_one_by_a_link(page):
    text = page(f"{OVERVIEW}?span=24h")

    assert 'overview.js" defer' in text
    assert f'href="{OVERVIEW}?span=24h">Refresh</a>' in text


def test_what_it_refreshes_by_is_the_body_alone_and_needs_the_permission(client, page):
    text = page(f"{OVERVIEW}body/?span=7d")

    assert text.lstrip().startswith('<div class="cad">')
    assert "<html" not in text
    client.force_login(person())
    assert client.get(f"{OVERVIEW}body/").status_code == 403


def test_an_objective_that_is_missed_too_fast_is_an_alarm(page):
    Rollup.objects.create(span=1, minute=int(time.time() // 60) - 1, met=50, missed=50)
    assert "50 of 100 answers of the last 1 h" in page()


def test_panels_of_other_packages_are_shown_escaped(page, monkeypatch):
    panel = Panel("Shops", ["Name", "State"], [[Cell("<b>", "/there/"), Cell("closed", look="bad")]])
    monkeypatch.setattr(panels, "_panels", [lambda user: panel, lambda user: None])

    text = page()

    assert '<a class="cad-link" href="/there/">&lt;b&gt;</a>' in text
    assert '<td data-label="State"><span class="cad-label cad-bad">closed</span></td>' in text
