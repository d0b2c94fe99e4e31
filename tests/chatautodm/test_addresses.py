"""Every address answers where the contract says, with and without a trailing slash, by no redirect."""

from __future__ import annotations

import io

import pytest
import yaml
from django.core.management import call_command

from chatautodm.docs import operations

PATHS = {
    "/api/queue-stats": {"get"},
    "/api/webhooks/queue-stats": {"get"},
    "/api/dead-letters": {"get"},
    "/api/dead-letters/retry": {"post"},
    "/api/dead-letters/{id}/retry": {"post"},
    "/api/events/{key}": {"get"},
}


@pytest.fixture(scope="module")
def schema():
    stdout = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=stdout)
    return yaml.safe_load(stdout.getvalue())


@pytest.mark.django_db
@pytest.mark.parametrize("path", [*PATHS, "/api/schema", "/api/docs", "/healthz"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_no_address_redirects(client, path, slash):
    assert client.get(path.format(id="x", key="x") + slash).status_code in {200, 401, 405}


def test_the_root_leads_to_the_console(client):
    assert client.get("/")["Location"] == "/admin/"


def test_the_schema_is_valid_and_knows_every_operation(schema):
    documented = {path: set(methods) for path, methods in schema["paths"].items() if path != "/api/schema"}

    assert documented == PATHS


def test_the_schema_says_that_credentials_are_needed(schema):
    assert schema["paths"]["/api/queue-stats"]["get"]["security"] == [{"tokenAuth": []}, {"cookieAuth": []}]


def test_the_page_of_the_api_lists_every_operation_and_needs_no_other_host(client):
    text = client.get("/api/docs").content.decode()

    for path in PATHS:
        assert path in text
    assert "//cdn" not in text
    assert "<script" not in text


def test_shapes_are_written_out(schema):
    (stats,) = (one for one in operations(schema) if one["path"] == "/api/queue-stats")

    shape = stats["answers"][0]["shape"]

    assert shape["queues"]["high"]["waiting"] == "integer or null"
    assert shape["workers"][0]["queues"] == ["string"]
