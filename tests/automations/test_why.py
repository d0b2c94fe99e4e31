"""Finding what somebody asks about, wherever it is: written down, in a lane, in the database tier, or nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from automations import addresses, demo, why
from automations.addresses import Asked
from automations.events import Comment
from automations.models import Account, Contact
from automations.people import contact_id
from automations.task_paths import PROCESS_EVENT
from automations.why import Period, Seen
from queueops import connections, dispatch, taking
from queueops.jobs import Batch, Job, Lane
from queueops.models import FallbackJob
from tests.automations.rows import ACCOUNT, account, event
from tests.people import person

COMMENT = "18674032191159040"


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("  18674032191159040 ", Asked(id=COMMENT)),
        ("@Maria.Example", Asked(username="maria.example")),
        ("aWdfZAG1faXRlbToxOklH/x+y==", Asked(id="aWdfZAG1faXRlbToxOklH/x+y==")),
        ("http://[", Asked(id="http://[")),
        ("a\0b", Asked(id="ab")),
        ("", Asked()),
    ],
)
def test_what_is_typed_is_an_id_or_a_name(typed, read):
    assert addresses.read(typed) == read


@pytest.mark.parametrize(
    ("address", "id", "username", "post"),
    [
        (f"https://www.instagram.com/p/CyZ_abc-12D/c/{COMMENT}/", COMMENT, "", ""),
        (f"https://www.instagram.com/p/CyZ_abc-12D/c/1/r/{COMMENT}/", COMMENT, "", ""),
        (f"instagram.com/maria.example/reel/CyZ_abc-12D/c/{COMMENT}?utm=1", COMMENT, "", ""),
        (f"https://www.instagram.com/reel/CyZ_abc-12D/?comment_id={COMMENT}", COMMENT, "", ""),
        ("https://www.instagram.com/maria.example/", "", "maria.example", ""),
        # By Instagram's own arithmetic: B is 1 and A is 0, in base 64.
        ("https://www.instagram.com/p/BA/", "", "", "64"),
        ("https://www.instagram.com/direct/t/123/", "", "", ""),
        ("https://www.instagram.com/stories/maria.example/123/", "", "", ""),
    ],
)
def test_an_address_of_instagrams_is_taken_apart(address, id, username, post):
    read = addresses.read(address)

    assert (read.id, read.username, read.post) == (id, username, post)
    assert read.understood


def test_another_sites_address_is_no_address_of_instagrams():
    assert addresses.read("https://instagram.com.example.com/p/x/c/1/").id.startswith("https://")


def seen(user=None) -> Seen:
    return Seen.by(user or User(username="ada", is_superuser=True))


def keys(text, period=None):
    return [row.key for row in why.find(text, period, seen()).events]


@pytest.mark.django_db
@pytest.mark.usefixtures("redis")
class TestEventsThatAreWrittenDown:
    @pytest.fixture(autouse=True)
    def _rows(self):
        shop = account()
        Contact.objects.create(
            pk=contact_id(str(shop.pk), "77"), account=shop, instagram_scoped_id="77", username="maria.example"
        )
        event("k1", person="77")
        event("k2", source_id=COMMENT)
        event("k3", person="77", account="1", kind="message")

    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("k1", ["k1"]),
            (COMMENT, ["k2"]),
            (f"https://www.instagram.com/p/CyZ/c/{COMMENT}/", ["k2"]),
            ("77", ["k3", "k1"]),
            ("@maria.example", ["k3", "k1"]),
            (ACCOUNT, ["k2", "k1"]),
            ("@Demo.Shop", ["k2", "k1"]),
            ("@nobody", []),
            ("k", []),
            ("", []),
            ("x" * 2000, []),
        ],
    )
    def test_each_is_found_by_whatever_names_it(self, text, found):
        assert keys(text) == found

    def test_a_time_narrows_and_alone_lists_what_came_then(self):
        then = datetime(2026, 1, 5, 12, tzinfo=UTC)
        event("old", received_at=then, person="77")
        around = Period(then - timedelta(minutes=10), then + timedelta(minutes=10))
        later = Period(then + timedelta(days=1), then + timedelta(days=2))

        assert keys("77", around) == keys("", around) == ["old"]
        assert keys("77", later) == keys("", later) == []
        assert keys("k1", later) == ["k1"]  # its very own key: the time was a guess

    def test_there_are_no_more_than_fifty_and_it_is_said_that_there_are(self):
        for n in range(why.MOST_EVENTS):
            event(f"more{n}")

        found = why.find(ACCOUNT, None, seen())

        assert (len(found.events), found.is_capped) == (why.MOST_EVENTS, True)
        assert found.events[0].key == f"more{why.MOST_EVENTS - 1}"

    def test_what_is_asked_takes_a_handful_of_queries(self, django_assert_max_num_queries):
        user = User(username="ada", is_superuser=True)
        for text in ("k1", COMMENT, "77", ACCOUNT, "@maria.example"):
            with django_assert_max_num_queries(6):
                why.find(text, None, Seen.by(user))


def waiting_comment(source_id: str = COMMENT) -> Comment:
    return Comment(account=next(iter(demo.ACCOUNTS)), person="77", source_id=source_id, at_ms=None, text="link")


def job_of(comment: Comment) -> Job:
    return Job(id=comment.key, lane=Lane.LOW, func=PROCESS_EVENT, payload=comment.as_payload(), tenant=comment.account)


@pytest.mark.usefixtures("demo_data")
class TestEventsThatStillWait:
    def test_one_in_a_lane_is_found_by_metas_id_and_by_its_key_with_its_place_in_line(self):
        for n in range(3):
            dispatch.dispatch_sync(Batch(jobs=(job_of(waiting_comment(f"{COMMENT}{n}")),)))

        for text in (f"{COMMENT}2", waiting_comment(f"{COMMENT}2").key):
            (where,) = why.find(text, None, seen()).held
            assert (where.held.lane, where.held.status, where.ahead) == ("low", "queued", 2)
            assert where.held.payload["source_id"] == f"{COMMENT}2"

    def test_one_in_the_database_tier_is_found_as_well(self):
        comment = waiting_comment()
        data = taking.encode(job_of(comment), {"id": "r", "at": "2026-01-01T00:00:00+00:00"})
        FallbackJob.objects.create(job=comment.key, lane="low", tenant=comment.account, func=PROCESS_EVENT, data=data)

        (where,) = why.find(COMMENT, None, seen()).held

        assert where.held.status == "fallback"

    def test_what_is_hidden_from_somebody_is_not_found_where_it_waits(self):
        dispatch.dispatch_sync(Batch(jobs=(job_of(waiting_comment()),)))
        user = person("automations.view_event")
        hidden = waiting_comment().account
        accounts = Account.objects.exclude(instagram_id=hidden)
        blind = Seen(seen(user).events, accounts, frozenset({hidden}))

        for text in (COMMENT, waiting_comment().key):
            assert why.find(text, None, blind).held == []

    def test_of_what_is_nowhere_is_said_where_it_was_looked_for(self):
        connections.client().hset("cad:ignored", "own_comment", 3)

        looked = {place.name: place.found for place in why.find(COMMENT, None, seen()).looked}

        assert "None has this key" in looked["Events written down"]
        assert "none has this id" in looked["Waiting in lanes"]
        assert "own comment 3" in looked["Recognised and not answered"]
        assert {"The database tier", "Dead letters", "Duplicates", "Unusable bodies"} <= looked.keys()

    def test_a_post_alone_leads_to_the_way_that_does_find_a_comment(self):
        found = why.find("https://www.instagram.com/p/BA/", None, seen())

        assert "number 64" in found.looked[0].found
        assert "comment's own address" in found.looked[0].found

    def test_without_redis_it_says_what_cannot_be_known(self, monkeypatch):
        def away() -> None:
            raise ConnectionError("away")

        monkeypatch.setattr(connections, "client", away)

        looked = why.find(COMMENT, None, seen()).looked

        assert why.AWAY in [place.found for place in looked]
