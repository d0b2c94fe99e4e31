"""The worker's look-ups: memory, then Redis, then one query; and what a change makes of each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import DataError
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import ConnectionError as AwayError

from automations import cache as memory
from automations import lookups, shared_cache
from automations.cache import cache
from automations.matching import Subject
from automations.models import Account, Automation
from automations.shared_cache import publish_eviction
from queueops import connections, database, metrics
from tests.automations import rows
from tests.automations.rows import ACCOUNT

STRANGER = "17841400000000000"


@pytest.fixture
def shop(redis, threads):
    account = rows.account()
    rows.automation(account)
    return account


@pytest.fixture
def asked(monkeypatch):
    """How often each query was asked, by name."""
    counts: Counter[str] = Counter()

    def count(name):
        query = getattr(lookups, name)

        def counting(*args):
            counts[name] += 1
            return query(*args)

        monkeypatch.setattr(lookups, name, counting)

    count("load_accounts")
    count("load_rules")
    return counts


async def until(condition):
    async with asyncio.timeout(10):
        while not await condition():
            await asyncio.sleep(0.001)


async def remembered(look_up):
    """Look up until it comes from memory: then this loop hears of changes."""

    async def same():
        return await look_up() is await look_up()

    await until(same)
    return await look_up()


async def shop_account():
    return await cache().account(ACCOUNT)


async def comment_rules():
    account = await cache().account(ACCOUNT)
    assert account is not None
    return await cache().rules(account, "comment")


async def winner(text="link"):
    decision = (await comment_rules()).decide(Subject(text=text))
    return decision.rule and decision.rule.name


def counted():
    """What the metrics gathered so far, and forget it."""
    metrics.flush()
    client = connections.client()
    minutes: list[Any] = [client.hgetall(key) for key in metrics.minute_keys(2)]
    found = metrics.merge(minutes)
    client.delete(*metrics.minute_keys(2))
    return {name: found[f"n:{name}"] for name in (memory.MISS, memory.HIT, memory.SHARED_HIT)}


def test_the_first_look_up_asks_the_database_the_second_loop_redis_and_then_nobody(run, shop, asked):
    async def scenario():
        await remembered(shop_account)
        rules = await remembered(comment_rules)
        return await shop_account(), rules.decide(Subject(text="LINK!")).rule

    first_account, first_rule = run(scenario())
    before = asked.copy()
    account, rule = run(scenario())

    assert asked == before, "another loop, as in another process, asked the database again"
    assert (account, rule) == (first_account, first_rule)
    assert (account.id, account.workspace) == (str(shop.pk), str(shop.workspace_id))
    assert (account.token, account.username, account.paused_until) == ("IGsecret123", "demo.shop", None)
    assert rule.name == "Comment link"


@pytest.mark.parametrize("jobs", [1, 200])
def test_many_jobs_that_ask_for_one_key_at_once_make_one_query(run, shop, asked, jobs):
    async def scenario():
        await asyncio.gather(*(winner() for _ in range(jobs)))

    counted()
    run(scenario())

    assert asked == {"load_accounts": 1, "load_rules": 1}
    assert counted() == {memory.MISS: 2, memory.HIT: 2 * jobs - 2, memory.SHARED_HIT: 0}


def test_hits_and_misses_are_counted_by_what_answered(run, shop):
    async def scenario():
        await remembered(shop_account)
        counted()
        await shop_account()
        in_memory = counted()
        connections.client().delete(shared_cache.account_key(ACCOUNT))
        cache().evict(ACCOUNT)
        await shop_account()
        in_database = counted()
        cache().evict(ACCOUNT)
        await shop_account()
        return in_memory, counted(), in_database

    in_memory, in_redis, in_database = run(scenario())
    assert in_memory == {memory.MISS: 0, memory.HIT: 1, memory.SHARED_HIT: 0}
    assert in_redis == {memory.MISS: 0, memory.HIT: 1, memory.SHARED_HIT: 1}
    assert in_database == {memory.MISS: 1, memory.HIT: 0, memory.SHARED_HIT: 0}


def test_a_stranger_is_remembered_as_such_until_the_account_is_connected(run, shop, asked):
    async def look_up():
        return await cache().account(STRANGER)

    async def scenario():
        await remembered(shop_account)
        assert await look_up() is None
        before = asked.copy()
        assert await look_up() is None
        assert asked == before
        await database.run(rows.account, instagram_id=STRANGER, username="demo.studio")

        async def is_known():
            return await look_up() is not None

        await until(is_known)

    run(scenario())


CHANGES = {
    "changed": lambda rule: Automation.objects.get().save(),
    "switched off": lambda rule: save(rule, is_active=False),
    "deleted": lambda rule: rule.delete(),
    "added": lambda rule: rows.automation(rule.account, name="Second"),
    "given to another account": lambda rule: save(rule, account=rows.account(instagram_id=STRANGER)),
    "of an account that changed": lambda rule: save(rule.account, username="renamed"),
    "of a workspace that changed": lambda rule: save(rule.account.workspace, is_vip=True),
}


def save(row, **changes):
    for name, value in changes.items():
        setattr(row, name, value)
    row.save()


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_was_saved_is_forgotten_in_memory_and_in_redis(run, shop, asked, change):
    async def scenario():
        before = await remembered(comment_rules)
        await database.run(lambda: change(Automation.objects.select_related("account__workspace").get()))

        async def forgotten():
            return await comment_rules() is not before

        await until(forgotten)

    run(scenario())
    asked.clear()
    run(winner())
    run(winner())
    assert asked["load_rules"] <= 1, "the new rules were kept"


def test_many_accounts_that_are_asked_for_at_once_take_a_query_for_all_and_one_for_each_trigger(
    run, shop, asked, redis
):
    ids = [str(n) for n in range(60)]
    for n in ids[:50]:  # ten are nobody's
        rows.automation(rows.account(instagram_id=n, username=f"shop{n}"), name=f"Rule of {n}")

    async def winners(instagram_id):
        account = await cache().account(instagram_id)
        if account is None:
            return None
        decided = [(await cache().rules(account, kind)).decide(Subject(text="link")) for kind in ("comment", "message")]
        return [decision.rule and decision.rule.name for decision in decided]

    async def scenario():
        return await asyncio.gather(*(winners(instagram_id) for instagram_id in ids))

    found = run(scenario())
    assert asked == {"load_accounts": 1, "load_rules": 2}
    assert found == [*([f"Rule of {n}", None] for n in ids[:50]), *[None] * 10]

    asked.clear()
    assert run(scenario()) == found  # another process' memory, from Redis
    assert not asked


def test_an_id_that_the_database_refuses_costs_the_others_nothing(run, shop):
    async def scenario():
        return await asyncio.gather(*(cache().account(text) for text in ("\0", ACCOUNT)), return_exceptions=True)

    refused, found = run(scenario())
    assert (type(refused), found.username) == (DataError, "demo.shop")


def test_an_eviction_deletes_the_accounts_keys(run, shop, redis):
    run(winner())
    kept = {
        shared_cache.account_key(ACCOUNT),
        shared_cache.rules_key(str(shop.workspace_id), "comment", ACCOUNT),
    }
    assert {key.decode() for key in redis.keys("a*:*")} == kept
    assert all(0 < redis.ttl(key) <= 3600 for key in kept)

    publish_eviction(ACCOUNT)

    assert redis.keys("a*:*") == []


@pytest.mark.parametrize("evicted", [ACCOUNT, "*"])
def test_an_answer_of_before_the_change_is_not_read_from_redis_after_it(run, shop, monkeypatch, evicted):
    """A reader has asked the database; before it has written the answer to Redis, the rule is changed and evicted."""
    query = lookups.load_rules
    has_read, may_go_on = threading.Event(), threading.Event()

    def slow(*args):
        found = query(*args)
        has_read.set()
        assert may_go_on.wait(10)
        return found

    async def scenario():
        reader = asyncio.create_task(comment_rules())
        await asyncio.to_thread(has_read.wait, 10)
        # Past the signals: the eviction below is the only one.
        await database.run(lambda: Automation.objects.update(name="Changed"))
        publish_eviction(evicted)
        may_go_on.set()
        await reader

    monkeypatch.setattr(lookups, "load_rules", slow)
    run(scenario())

    assert run(winner()) == "Changed"


def test_the_token_is_nowhere_in_redis_in_clear(run, shop, redis):
    run(winner())

    everything = b"".join(redis.dump(key) or b"" for key in redis.keys("*"))
    kept = redis.get(shared_cache.account_key(ACCOUNT))
    assert b"IGsecret123" not in everything
    assert b"IGsecret123" not in kept
    assert json.loads(kept.partition(b"\n")[2])["encrypted"].startswith("gAAAA")


def test_a_token_that_no_key_decrypts_any_more_is_asked_of_the_database(run, shop, redis, settings, asked):
    run(shop_account())
    new = "4m2mpcM8sZYXNu5Z8xZcA0WvVNa0sM3JkZ1m0L0QkYU="
    settings.FIELD_ENCRYPTION_KEYS = [new]
    Account.objects.update(token="IGrenewed")  # and nobody evicted

    assert run(shop_account()).token == "IGrenewed"


@pytest.mark.parametrize(
    "kept", [b"", b"null", b"\n", b"other:generation:tag\nnull", b'{"id": "1"}', b"\xff\xfe", b"::\nnull"]
)
def test_what_another_version_kept_is_not_read(run, shop, redis, kept):
    redis.set(shared_cache.account_key(ACCOUNT), kept)

    assert run(shop_account()).username == "demo.shop"


def test_a_flushed_redis_only_costs_a_query(run, shop, redis, asked):
    async def scenario():
        await remembered(comment_rules)
        redis.flushall()
        cache().evict("*")
        return await winner()

    assert run(scenario()) == "Comment link"


@pytest.fixture
def nobody_listens(monkeypatch):
    """Redis is away: every client of it is refused."""
    monkeypatch.setattr(connections, "async_client", lambda: AsyncRedis(port=9))
    monkeypatch.setattr(connections, "client", lambda: Redis(port=9))


def test_without_redis_every_look_up_asks_the_database(shop, asked, nobody_listens):
    async def scenario():
        one = memory.Cache()
        try:
            return [(await one.account(ACCOUNT)).username for _ in range(2)]
        finally:
            await one.close()

    assert asyncio.run(scenario()) == ["demo.shop"] * 2
    assert asked["load_accounts"] == 2


def test_an_eviction_that_redis_did_not_take_is_made_up_for(run, shop, redis, monkeypatch):
    run(winner())
    Automation.objects.update(name="Changed")
    monkeypatch.setattr(shared_cache, "OWED_SECONDS", 0.01)
    away = [True, True, True]

    def client():
        if away:
            away.pop()
            raise AwayError("refused")
        return redis

    monkeypatch.setattr(connections, "client", client)
    with contextlib.suppress(StopIteration):
        publish_eviction(ACCOUNT)
        thread = next(one for one in threading.enumerate() if one.name == "evictions")
        thread.join(10)

    assert run(winner()) == "Changed"


def test_after_a_gap_nothing_is_read_that_was_kept_before_it(run, shop, redis):
    """What was changed while a process could not hear of it may still be in Redis, where nobody evicted it."""

    async def scenario():
        await remembered(comment_rules)
        await database.run(lambda: Automation.objects.update(name="Changed"))
        for client in redis.client_list(_type="pubsub"):
            redis.client_kill_filter(_id=client["id"])

        async def is_live():
            return await winner() == "Changed"

        await until(is_live)
        await remembered(comment_rules)

    run(scenario())
    assert run(winner()) == "Changed"


def test_a_rule_that_cannot_be_read_silences_no_other(run, shop):
    for name, changes in (
        ("bad", {"actions": [{"type": "dm"}]}),
        ("worse", {"actions": 7}),
        ("worst", {"keywords": 7}),
    ):
        rows.automation(shop, name=name, **changes)

    assert run(winner()) == "Comment link"
