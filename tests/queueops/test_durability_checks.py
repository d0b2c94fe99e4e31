"""Whether 200 means kept is the server's own settings' say: what they risk is told at start-up and on the console."""

from __future__ import annotations

import pytest

from chatautodm.local import free_port
from queueops import connections, durability
from queueops.checks import server_keeps_what_it_takes
from tests.chatautodm.test_web_server import lines_until, start

SAFE = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def ids(*args) -> list[str]:
    return [risk.id.removeprefix("queueops.") for risk in durability.judge(*args)]


@pytest.mark.parametrize(
    ("config", "connected", "wanted", "risks"),
    [
        (SAFE, 0, 0, []),
        (SAFE, 2, 2, []),
        (SAFE, 2, 1, []),
        (SAFE, None, 0, []),
        (SAFE, 2, 0, ["W006"]),
        (SAFE, 1, 2, ["W007"]),
        ({**SAFE, "appendonly": "no"}, 0, 0, ["W003"]),
        ({**SAFE, "appendfsync": "everysec"}, 0, 0, ["W004"]),
        ({**SAFE, "appendfsync": "no"}, 0, 0, ["W004"]),
        ({**SAFE, "maxmemory-policy": "allkeys-lru"}, 0, 0, ["W005"]),
        ({**SAFE, "maxmemory-policy": "volatile-ttl"}, 0, 0, ["W005"]),
        ({"appendonly": "no", "maxmemory-policy": "allkeys-lfu"}, 1, 0, ["W003", "W005", "W006"]),
        ({}, 0, 0, ["W002"]),
        ({}, 1, 0, ["W002", "W006"]),
    ],
)
def test_each_setting_that_may_lose_an_acknowledged_webhook_is_named(config, connected, wanted, risks):
    assert ids(config, connected, wanted) == risks


@pytest.fixture
def everysec(redis):
    redis.config_set("appendfsync", "everysec")
    yield
    redis.config_set("appendfsync", "always")


def test_a_server_set_up_as_the_deployment_guide_says_is_no_risk():
    assert server_keeps_what_it_takes() == []


@pytest.mark.usefixtures("everysec")
def test_the_check_says_what_may_be_lost_and_what_to_do():
    (warning,) = server_keeps_what_it_takes()
    assert warning.id == "queueops.W004"
    assert "loses up to a second" in warning.msg
    assert "appendfsync always" in warning.hint


@pytest.mark.usefixtures("everysec")
def test_the_console_gives_the_reason(admin_client):
    assert b"loses up to a second" in admin_client.get("/admin/").content


def test_a_server_that_refuses_to_tell_is_unknown(redis):
    redis.acl_setuser("guest", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-config", "-info"])
    try:
        with connections.new_client(1, 1) as guest:
            guest.execute_command("AUTH", "guest", "any")
            assert durability.read(guest) == [durability.UNKNOWN]
    finally:
        redis.acl_deluser("guest")


def test_without_a_server_nothing_is_said(settings):
    settings.QUEUE_REDIS_URL = "redis://127.0.0.1:9"
    assert server_keeps_what_it_takes() == []


def test_the_embedded_server_is_not_started_to_be_asked(settings):
    settings.REDIS_URL, settings.QUEUE_REDIS_URL = "", "unix:///nowhere/valkey.sock"
    assert server_keeps_what_it_takes() == []


@pytest.mark.usefixtures("everysec")
def test_a_web_server_says_it_at_its_start(tmp_path):
    server = start(tmp_path, WEB_BIND=f"127.0.0.1:{free_port()}", WEB_CONCURRENCY="1")
    try:
        said = lines_until(server, "loses up to a second")
    finally:
        server.terminate()
        server.communicate(timeout=30)
    assert any("loses up to a second" in line for line in said)
