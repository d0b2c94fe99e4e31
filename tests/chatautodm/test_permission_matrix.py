"""Who may act through which door: every address that takes a POST, by everybody, and by each permission alone.

What may be done only grows with permissions. So when exactly those that a door takes open it, and all but any one of
them do not, it is open to nobody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve
from django.utils import timezone
from redis import Redis

from automations.events import Comment
from automations.models import Account, Workspace
from queueops import audit
from queueops.audit import CONSOLE, Act, By
from queueops.models import Alert, ApiToken, Cause, Operation
from tests.automations.rows import account, automation, conversation, delivery, event
from tests.chatautodm.doors import DOORS, ELSEWHERE, READING, ROLES, Door
from tests.people import api_key, make_groups, member, superuser
from tests.queueops.letters import dead

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

# Written by looking and by logging in, too.
NOT_ACTS = {"sessions.Session", "admin.LogEntry", "auth.Permission", "contenttypes.ContentType"}
BY_THE_WAY = {"last_login", "last_used_at"}
# Counts that a thread of each process writes once a second.
PASSING = (b"cad:seen:", b"cad:taken:", b"cad:minute:", b"cad:totals", b"rq:scheduler")
NO_LOG_IN_PAGE = {"/admin/login/", "/admin/logout/", "/admin/jsi18n/"}
# For programs: they answer 401.
NO_LOG_IN_PAGE |= {f"/admin/django_rq/dashboard/{path}" for path in ("metrics", "stats.json", "stats.json/token")}
API = tuple(door for door in DOORS if door.address.startswith("/api/"))
PAGES = tuple(door for door in DOORS if door not in API)


@dataclass(frozen=True, slots=True)
class World:
    """One row of everything. fill: an address or a value of the table, with the rows' keys in it."""

    redis: Redis
    keys: dict[str, str]
    people: dict[str, User]

    def address(self, text: str) -> str:
        return text.format(**self.keys)

    def form(self, door: Door) -> dict[str, Any]:
        named = {name: value for name, value in door.form.items() if str(value).startswith("@")}
        return {**door.form, **{name: self.keys[value[1:]] for name, value in named.items()}}

    def post(self, client: Client, door: Door, **more: Any) -> Any:
        as_json: Any = {"content_type": "application/json"} if door in API else {}
        return client.post(self.address(door.address), self.form(door), **as_json, **more)

    def state(self) -> Any:
        """What acting changes: every row, the audit log among them, and every key of Redis."""
        tables = [table for table in apps.get_models() if table._meta.managed and table._meta.app_label != "axes"]
        rows = {
            table._meta.label: sorted(
                table._default_manager.values_list(
                    *(field.attname for field in table._meta.concrete_fields if field.name not in BY_THE_WAY)
                ),
                key=str,
            )
            for table in tables
            if table._meta.label not in NOT_ACTS
        }
        many = {
            f"{table._meta.label}.{field.name}": sorted(field.remote_field.through.objects.values_list(), key=str)
            for table in (User, Group)
            for field in table._meta.many_to_many
        }
        return rows, many, self._in_redis()

    def _in_redis(self) -> dict[bytes, Any]:
        read: dict[bytes, Any] = {
            b"string": self.redis.get,
            b"hash": self.redis.hgetall,
            b"list": lambda key: self.redis.lrange(key, 0, -1),
            b"set": self.redis.smembers,
            b"zset": lambda key: self.redis.zrange(key, 0, -1, withscores=True),
            b"stream": self.redis.xrange,
        }
        redis: Any = self.redis
        return {key: read[redis.type(key)](key) for key in redis.scan_iter() if not key.startswith(PASSING)}

    @contextmanager
    def undone(self) -> Iterator[None]:
        """What happens in it has not happened."""
        redis: Any = self.redis
        # Bytes to put back, not to compare: of the same hash they are not always the same.
        kept, savepoint = {key: redis.dump(key) for key in redis.scan_iter()}, transaction.savepoint()
        try:
            yield
        finally:
            transaction.savepoint_rollback(savepoint)
            redis.flushall()
            for key, value in kept.items():
                redis.restore(key, 0, value)


@pytest.fixture
def world(redis) -> World:
    make_groups()
    shop = account()
    spare = account(instagram_id="16", username="spare.shop", workspace=Workspace.objects.create(name="Customer"))
    paused = account(instagram_id="15", username="paused.shop", status=Account.Status.PAUSED)
    happened = event("k2", outcome="unconfirmed", payload={"kind": "comment"})
    # A rule that would answer it is there by now.
    automation(shop, name="By now", match="any", keywords=[])
    wrote = Comment(account=shop.instagram_id, person="84", source_id="c3", media_id="m", text="hi", at_ms=None)
    people = {role: member(role) for role in ("viewer", "operator", "manager")} | {"superuser": superuser()}
    somebody = User.objects.create_user("spare")
    api_key(somebody)
    now = timezone.now()
    alert = Alert.objects.create(
        name="no_worker", severity="page", words="No worker", first_seen_at=now, last_seen_at=now, opened_at=now
    )
    rows = {
        "account": shop,
        "spare_account": spare,
        "paused": paused,
        "workspace": shop.workspace,
        "spare_workspace": Workspace.objects.create(name="Nobody's"),
        "spare_automation": automation(shop),
        "contact": conversation(shop, "8422491661125971").contact,
        "event": happened,
        "unanswered": event("k3", payload=wrote.as_payload(), account=shop.instagram_id),
        "delivery": delivery(happened, status="unconfirmed"),
        "letter": dead("k1", account=shop.instagram_id),
        "spare_user": somebody,
        "spare_group": Group.objects.create(name="spare"),
        "token": ApiToken.objects.get(),
        "alert": alert,
        "asked": Operation.objects.create(
            what="discard", state="asked", needs_consent=True, asked_by=somebody, selection={"kind": ["message"]}
        ),
        "halted": Operation.objects.create(what="retry", state="halted", halted_because="They died again."),
        "cause": Cause.objects.create(pk="c1", title="An error"),
        "resolved": Cause.objects.create(pk="c2", title="Another error", state="resolved", resolved_at=now),
        "entry": audit.record(Act(by=By(people["superuser"], CONSOLE), action="begin")),
    }
    return World(redis, {name: str(row.pk) for name, row in rows.items()}, people)


def client_of(user: User | None, **more: Any) -> Client:
    client = Client(**more)
    if user is not None:
        client.force_login(user)
    return client


def acts(world: World, user: User | None, door: Door, before: Any) -> bool:
    """Whether something is changed by this user's POST, which is then undone."""
    with world.undone():
        world.post(client_of(user), door)
        return bool(world.state() != before)


def holder(name: str, permissions: Any) -> User:
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(permissions)
    return user


def all_but(codename: str) -> Any:
    """In the admin, who may change may view."""
    return Permission.objects.exclude(codename__in=[codename, codename.replace("view_", "change_")])


@pytest.mark.parametrize("door", DOORS, ids=str)
def test_a_door_opens_to_those_the_table_says_and_refusing_changes_nothing(world, door):
    codenames = [permission.split(".")[1] for permission in door.takes]
    maria = holder("maria", Permission.objects.filter(codename__in=codenames))
    others = {one: holder(f"all but {one}", all_but(one)) for one in codenames}
    before = world.state()

    may = {role: acts(world, world.people.get(role), door, before) for role in ROLES}

    assert may == {role: ROLES.index(role) >= ROLES.index(door.who) for role in ROLES}
    assert acts(world, maria, door, before), "its permissions alone do not open it"
    for one, user in others.items():
        assert not acts(world, user, door, before), f"it opens without {one}"


def test_a_post_without_its_token_does_nothing_even_for_a_superuser(world):
    client = client_of(world.people["superuser"], enforce_csrf_checks=True)
    before = world.state()

    for door in DOORS:
        if "export" not in door.address:  # a page that is only looked at, and written down
            assert world.post(client, door).status_code == 403, door
    assert world.state() == before


def test_an_api_token_opens_what_its_user_may_and_one_to_read_nothing(world):
    keys = [api_key(world.people["viewer"]), api_key(world.people["superuser"], scope="read")]
    before = world.state()

    for door in API:
        for key in keys:
            answer = world.post(Client(), door, headers={"Authorization": f"Token {key}"})
            assert answer.status_code == 403, door
    assert world.state() == before


def test_nobody_acts_where_there_is_nothing_to_do(world):
    client = client_of(world.people["superuser"], raise_request_exception=False)
    forged = {"post": "yes", "_save": "Save", "name": "x", "username": "x", "status": "active", "reason": "forged"}
    before = world.state()

    for address in READING:
        client.force_login(world.people["superuser"])  # one of the addresses logs out
        client.post(world.address(address), forged)
        assert world.state() == before, address


def test_a_stranger_is_sent_to_the_log_in_page(world):
    stranger = Client()

    for address in {*READING, *(door.address for door in PAGES)} - NO_LOG_IN_PAGE:
        if address.startswith("/admin/"):
            answer = stranger.get(world.address(address))
            assert answer.status_code == 302, address
            assert answer["Location"].startswith("/admin/login/"), address


def test_a_stranger_is_told_to_identify_themselves_by_the_api(world):
    for door in API:
        assert world.post(Client(), door).status_code == 401, door


def test_every_address_is_in_the_table(world):
    """A new one must say whom it lets in."""
    known = {
        resolve(world.address(address).partition("?")[0]).route
        for address in (*READING, *(door.address for door in DOORS))
    }

    missing = {route.rstrip("/") for route in routes()} - {route.rstrip("/") for route in known} - set(ELSEWHERE)

    assert not missing


def routes(patterns: Any = None, before: str = "") -> Iterator[str]:
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        route = before + str(pattern.pattern).removeprefix("^" if before else "")  # as Django joins them
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route
