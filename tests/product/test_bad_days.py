"""Days on which something fails: what the product does then, with the real servers."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import urllib.error
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from rq.utils import as_text

from automations.cache import publish_eviction
from automations.models import Account, Delivery, Event
from automations.task_paths import PROCESS_EVENT
from queueops import connections, dispatch
from queueops.jobs import Batch, Job, Lane
from queueops.models import DeadLetter
from tests.product.stack import Stack
from tests.product.test_payload_calls import SHOP, STUDIO
from tests.product.test_traffic import made

OFFER = "Here you go: https://example.com/offer"


def message(number: int, account: str = SHOP) -> bytes:
    """One event of one person each: every answer can be told from every other."""
    event = {
        "sender": {"id": f"84224{number:08d}"},
        "recipient": {"id": account},
        "timestamp": 1,
        "message": {"mid": f"mid.{number}", "text": "link"},
    }
    return json.dumps({"object": "instagram", "entry": [{"id": account, "time": 1, "messaging": [event]}]}).encode()


def answers(numbers: range) -> Counter[tuple[str, str]]:
    return Counter((f"84224{number:08d}", OFFER) for number in numbers)


def outcomes() -> Counter[str]:
    return Counter(Event.objects.values_list("outcome", flat=True))


def due_now() -> None:
    """Let the time come that retries wait for."""
    redis = connections.client()
    for lane in ("high", "default", "low"):
        for job in redis.zrange(f"rq:scheduled:{lane}", 0, -1):
            redis.zadd(f"rq:scheduled:{lane}", {as_text(job): 0}, xx=True)


class Meta(threading.Thread):
    """Delivers one message after the other, and each again until it is answered with 200."""

    def __init__(self, stack: Stack, numbers: range) -> None:
        super().__init__()
        self.stack = stack
        self.numbers = numbers
        self.delivered = 0

    def run(self) -> None:
        for number in self.numbers:
            while not self._is_taken(message(number)):
                time.sleep(0.01)
            self.delivered += 1

    def _is_taken(self, body: bytes) -> bool:
        with contextlib.suppress(urllib.error.URLError, OSError):
            return self.stack.post(body)[0] == 200
        return False


@pytest.fixture
def meta(stack: Stack) -> Iterator[Meta]:
    """In the middle of its deliveries."""
    sender = Meta(stack, range(100))
    sender.start()
    stack.wait_until(lambda: sender.delivered > 30)
    yield sender
    sender.join()


@pytest.fixture
def accounts() -> Iterator[None]:
    """The accounts, active again afterwards."""
    yield
    Account.objects.update(status=Account.Status.ACTIVE, status_reason="", paused_until=None)
    publish_eviction(SHOP)


def test_a_worker_killed_in_the_middle_of_a_call_leaves_that_call_unconfirmed_and_loses_nothing(stack: Stack):
    stack.fault(fault="hang", times=1)
    stack.post(message(0))
    stack.wait_until(lambda: len(stack.calls()) == 1)

    stack.parts.kill("worker")
    for number in range(1, 20):
        stack.post(message(number))
    stack.restart("worker")

    stack.wait_until(lambda: Event.objects.filter(finished_at__isnull=False).count() == 20)
    assert made(stack) == answers(range(20))
    assert outcomes() == {"sent": 19, "unconfirmed": 1}
    assert stack.settle().unexplained == 0


def test_a_worker_restarted_under_load_loses_nothing_and_repeats_nothing(stack: Stack, meta: Meta):
    assert stack.parts.stop("worker") == 0
    stack.restart("worker")

    meta.join()
    stack.wait_until(lambda: outcomes() == {"sent": 100})
    assert made(stack) == answers(range(100))
    assert stack.settle().unexplained == 0


def test_a_web_server_restarted_under_load_loses_nothing_and_repeats_nothing(stack: Stack, meta: Meta):
    assert stack.parts.stop("web") == 0
    stack.restart("web")

    meta.join()
    stack.wait_until(lambda: outcomes() == {"sent": 100})
    assert made(stack) == answers(range(100))
    assert stack.settle().unexplained == 0


@pytest.mark.usefixtures("accounts")
def test_while_meta_throttles_an_account_its_events_wait_without_using_attempts_and_others_go_on(stack: Stack):
    stack.fault(fault="throttle", match={"account": SHOP}, times=1)
    stack.post(message(0))
    stack.wait_until(lambda: Event.objects.filter(outcome="retrying").exists())
    for number in range(1, 5):
        stack.post(message(number))
    stack.post(message(5, STUDIO))

    stack.wait_until(lambda: outcomes() == {"sent": 1, "retrying": 5})
    assert len(stack.calls()) == 2  # the one that was throttled, and the other account's

    until = Account.objects.get(instagram_id=SHOP).paused_until
    assert until is not None
    assert until > timezone.now()
    Account.objects.filter(instagram_id=SHOP).update(paused_until=timezone.now())
    publish_eviction(SHOP)
    due_now()
    stack.wait_until(lambda: outcomes() == {"sent": 6})
    assert not DeadLetter.objects.exists()


@pytest.mark.usefixtures("accounts")
def test_when_a_token_is_revoked_the_account_waits_for_its_owner_and_others_go_on(stack: Stack):
    stack.fault(fault="expired_token", match={"account": SHOP}, times=1)
    stack.post(message(0))
    stack.wait_until(lambda: Event.objects.filter(outcome="dead").exists())
    assert Account.objects.get(instagram_id=SHOP).status == "needs_owner"
    assert DeadLetter.objects.get().cause_verdict == "needs_owner"

    stack.post(message(1))
    stack.post(message(2, STUDIO))
    stack.wait_until(lambda: outcomes()["sent"] == 1 and outcomes()["retrying"] == 1)
    assert len(stack.calls()) == 2  # nothing more was tried with the token

    account = Account.objects.get(instagram_id=SHOP)
    account.status, account.status_reason, account.token = Account.Status.ACTIVE, "", "new-token"
    account.save()
    due_now()
    stack.wait_until(lambda: outcomes() == {"sent": 2, "dead": 1})


def test_an_event_that_nothing_can_process_is_a_dead_letter_and_blocks_nobody(stack: Stack):
    unheard_of = Job(id="poison", lane=Lane.HIGH, func=PROCESS_EVENT, payload={"kind": "of a later version"})
    dispatch.dispatch_sync(Batch(jobs=(unheard_of,)))
    stack.post(message(0))

    stack.wait_until(lambda: outcomes() == {"sent": 1} and DeadLetter.objects.exists())
    letter = DeadLetter.objects.get()
    assert (letter.attempts, letter.cause_verdict) == (3, "bug")
    assert letter.payload["args"][0] == unheard_of.payload
    assert "Traceback" in letter.traceback
    stack.wait_until(lambda: stack.settle().total("dead") == 1)
    assert stack.settle().unexplained == 0


def test_a_forged_flood_is_refused_and_the_genuine_ones_in_it_are_answered(stack: Stack):
    forged = b'{"object":"instagram","entry":[' + b"[" * 50_000

    def deliver(number: int) -> int:
        if number % 10 == 0:
            return stack.post(message(number))[0]
        return stack.post(forged, signature="sha256=" + f"{number:064x}")[0]

    with ThreadPoolExecutor(8) as pool:
        statuses = Counter(pool.map(deliver, range(300)))

    assert statuses == {200: 30, 401: 270}
    stack.wait_until(lambda: outcomes() == {"sent": 30})
    counts = stack.settle()
    assert (counts.received, counts.ignored, counts.unexplained) == (30, 0, 0)


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    """To every process but this one: their connections end, and new ones are refused."""
    name = connection.settings_dict["NAME"]
    connection.ensure_connection()
    ours = connection.connection.info.backend_pid
    parameters = {**connection.get_connection_params(), "dbname": "postgres"}
    with psycopg.connect(**parameters, autocommit=True) as operator:
        operator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> %s"
            operator.execute(others, [name, ours])
            yield
        finally:
            operator.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_without_the_database_webhooks_are_kept_and_answered_when_it_is_back(stack: Stack):
    before = stack.parts.said("worker")

    def said(word: str) -> int:
        return stack.parts.said("worker").removeprefix(before).count(f"action=database_{word} ")

    with database_away():
        statuses = Counter(stack.post(message(number))[0] for number in range(40))
        assert statuses == {200: 40}
        stack.wait_until(lambda: said("away") == 1)
        stack.wait_until(lambda: connections.client().llen("rq:queue:high") == 40)
        assert stack.calls() == []

    stack.wait_until(lambda: outcomes() == {"sent": 40})
    assert made(stack) == answers(range(40))
    assert not DeadLetter.objects.exists()
    assert not Delivery.objects.exclude(status="sent").exists()
    assert stack.settle().unexplained == 0
    assert [said("away"), said("back")] == [1, 1]
