"""REDIS_URL=redis+sentinel://…: what is read from it, and what is refused."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django_rq
import pytest
from django.test import Client
from django.urls import reverse

from queueops import sentinel
from queueops.jobs import Lane
from tests.people import superuser
from tests.queueops.outages import talking_to
from tests.queueops.watched import SERVICE, Watched, watched

TWO = (("10.0.0.1", 26379), ("10.0.0.2", 26380))


@pytest.mark.parametrize(
    ("rest", "addresses", "service", "db"),
    [
        ("10.0.0.1:26379,10.0.0.2:26380/mymaster/3", TWO, "mymaster", 3),
        ("10.0.0.1,10.0.0.2:26380/mymaster", TWO, "mymaster", 0),
        ("10.0.0.1,10.0.0.2:26380/mymaster/", TWO, "mymaster", 0),
        ("one.example.com/my%20master/0", (("one.example.com", 26379),), "my master", 0),
        ("[::1]:26380,[fd00::2]/m/1", (("::1", 26380), ("fd00::2", 26379)), "m", 1),
    ],
)
def test_it_reads_where_the_sentinels_are_and_whom_they_watch(rest, addresses, service, db):
    watched = sentinel.parse(f"redis+sentinel://{rest}")
    assert (watched.addresses, watched.service, watched.db) == (addresses, service, db)
    assert watched.passwords == []


def test_the_sentinels_password_is_their_own():
    watched = sentinel.parse("redis+sentinel://ada:p%40ss@a,b/m/0?sentinel_username=eve&sentinel_password=hu%2Fsh")
    assert watched.credentials == {"username": "ada", "password": "p@ss"}
    assert watched.sentinel_credentials == {"username": "eve", "password": "hu/sh"}
    assert watched.passwords == ["p@ss", "hu/sh"]
    assert sentinel.parse("redis+sentinel://:hush@a/m").credentials == {"password": "hush"}


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel:///mymaster/0",
        "redis+sentinel://a:26379",
        "redis+sentinel://a:26379/",
        "redis+sentinel://a:26379/mymaster/first",
        "redis+sentinel://a:26379/mymaster/0/1",
        "redis+sentinel://a:hush@a:port/mymaster/0",
        "redis+sentinel://a:hush@a:66000/mymaster/0",
        "redis+sentinel://a:hush@a,,b/mymaster/0",
        "redis+sentinel://a:hush@a/mymaster/0?password=hush",
        "redis+sentinel://a:hush@a/mymaster/0#x",
        "redis://a:hush@a/0",
    ],
)
def test_it_refuses_what_has_another_form_and_tells_no_password(url):
    with pytest.raises(ValueError, match="REDIS_URL must be redis") as refused:
        sentinel.parse(url)
    assert "hush" not in str(refused.value)


def test_rq_gets_the_same_addresses_and_passwords():
    queue = sentinel.parse(
        "redis+sentinel://ada:pass@10.0.0.1,10.0.0.2:26380/mymaster/3?sentinel_password=hush"
    ).rq_queue()
    connection = django_rq.connection_utils.get_redis_connection(queue)
    pool = connection.connection_pool
    assert (pool.service_name, pool.connection_kwargs["db"]) == ("mymaster", 3)
    assert (pool.connection_kwargs["username"], pool.connection_kwargs["password"]) == ("ada", "pass")
    asked = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(one["host"], one["port"], one["password"]) for one in asked] == [(*a, "hush") for a in TWO]


@pytest.fixture
def with_passwords(settings: Any) -> Iterator[Watched]:
    """A master and a Sentinel, each with a password; everybody goes there."""
    folder = Path(tempfile.mkdtemp(prefix="cad-", dir="/tmp"))
    with watched(folder, replicas=0, sentinels=1) as servers:
        [master], [asked] = servers.servers, servers.sentinels
        servers.client(asked).execute_command("SENTINEL", "SET", SERVICE, "auth-pass", "of-the-master")
        servers.client(master).config_set("requirepass", "of-the-master")
        servers.client(asked).execute_command("ACL", "SETUSER", "default", "resetpass", ">of-the-sentinel")
        url = f"redis+sentinel://:of-the-master@127.0.0.1:{asked}/{SERVICE}/0?sentinel_password=of-the-sentinel"
        settings.RQ_QUEUES = {lane: settings.RQ_QUEUES[lane] | sentinel.parse(url).rq_queue() for lane in Lane}
        for queue in settings.RQ_QUEUES.values():
            queue.pop("URL")
        with talking_to(url):
            yield servers
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.django_db
def test_rqs_own_pages_tell_where_the_sentinels_are_and_no_password(with_passwords):
    client = Client()
    client.force_login(superuser())
    pages = [reverse("admin:django_rq_home"), reverse("admin:django_rq_home_json")]
    pages += [reverse(f"admin:django_rq_{name}", args=[0]) for name in ("queue_details", "jobs", "workers")]

    answers = [client.get(page, secure=True) for page in pages]

    assert [answer.status_code for answer in answers] == [200] * len(pages)
    texts = [answer.content.decode() for answer in answers]
    assert (
        f"127.0.0.1:{with_passwords.sentinels[0]}"
        in texts[pages.index(reverse("admin:django_rq_queue_details", args=[0]))]
    )
    assert not [text for text in texts if "of-the-master" in text or "of-the-sentinel" in text]
