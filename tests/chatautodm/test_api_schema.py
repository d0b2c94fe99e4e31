"""The API keeps what its schema promises: schemathesis calls every operation with what fits the schema and what does
not, as each kind of caller, and looks at every answer.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import schemathesis
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.config._checks import POSITIVE_DATA_ACCEPTANCE_EXPECTED_STATUSES
from schemathesis.engine import events

from tests.automations.rows import delivery, event
from tests.people import api_key, person
from tests.queueops.letters import dead

SEE = ("queueops.view_console", "queueops.view_deadletter", "automations.view_event")
DO = ("queueops.retry_deadletter", "queueops.bulk_retry_deadletter", "queueops.see_text")
# Of inputs that are made up, for each operation and each phase; what a schema implies comes on top.
MADE_UP = 4
EVERYTHING: dict[str, Any] = {"stateful": {"enabled": False}}
FEW = {"coverage": {"enabled": False}, "stateful": {"enabled": False}}
ACCEPTED = POSITIVE_DATA_ACCEPTANCE_EXPECTED_STATUSES
OPERATIONS = {
    "GET /api/queue-stats",
    "GET /api/webhooks/queue-stats",
    "GET /api/dead-letters",
    "POST /api/dead-letters/retry",
    "POST /api/dead-letters/{id}/retry",
    "GET /api/events/{key}",
}


@pytest.fixture
def something_there(threads, redis, settings):
    """Rows to be found; and no limit to the calls."""
    settings.API_REQUESTS_PER_MINUTE = 0
    for n in range(5):
        dead(f"e{n}", account=str(n))
    delivery(event("k1", outcome="sent", finished_at=datetime.now(UTC)), status="sent", message_id="m_1")


def findings(url: str, key: str, phases: dict[str, Any]) -> list[str]:
    """What schemathesis says against the API to a caller with this key; and where it could not test."""
    config = SchemathesisConfig.from_dict(
        {
            "headers": {"Authorization": f"Token {key}"} if key else {},
            "generation": {"max-examples": MADE_UP, "deterministic": True, "database": "none", "no-shrink": True},
            # What is right in itself is refused when its Idempotency-Key came with something else before.
            "checks": {"positive_data_acceptance": {"expected-statuses": [*ACCEPTED, "422"]}},
            "phases": phases,
            "suppress-health-check": ["all"],
        }
    )
    schema = schemathesis.openapi.from_url(f"{url}/api/schema", config=config)
    found, tested = [], set()
    for happened in engine.from_schema(schema).execute():
        if isinstance(happened, events.NonFatalError):
            found.append(f"{happened.label}: {happened.info.message}")
        if isinstance(happened, events.FatalError):
            found.append(str(happened.exception))
        if isinstance(happened, events.ScenarioFinished):
            tested.add(happened.label)
            found += _failed(happened)
    assert len(tested & OPERATIONS) == len(OPERATIONS), tested
    return found


def _failed(scenario: events.ScenarioFinished) -> list[str]:
    return [
        f"{scenario.recorder.cases[case].value.as_curl_command()}: {check.failure_info.failure.message}"
        for case, checks in scenario.recorder.checks.items()
        for check in checks
        if check.failure_info is not None
    ]


@pytest.mark.parametrize(
    ("permissions", "phases"),
    [(SEE, FEW), (SEE + DO, EVERYTHING), (None, FEW)],
    ids=["viewer", "operator", "without credentials"],
)
def test_the_api_keeps_what_its_schema_promises(something_there, live_server, permissions, phases):
    key = api_key(person(*permissions)) if permissions else ""

    found = findings(live_server.url, key, phases)

    assert not found, "\n\n".join(found)
