from __future__ import annotations

import json
from typing import Any

import pytest

from tests.checks import judge_audit, run

SOUND = {"name": "django", "version": "5.2.19", "vulns": []}
UNKNOWN = {"name": "rq", "skip_reason": "Dependency not found on PyPI and could not be audited: rq (3.0.0)"}
WEAK = {"name": "aiohttp", "version": "3.0.0", "vulns": [{"id": "GHSA-1", "fix_versions": ["3.0.1"]}]}


def found(*packages: dict[str, Any]) -> str:
    return json.dumps({"dependencies": packages, "fixes": []})


def test_an_audit_without_findings_passes_and_says_of_how_many_packages() -> None:
    verdict = judge_audit(0, found(SOUND, UNKNOWN), "")

    assert verdict.passed
    assert verdict.line == "dependency audit: ok, 1 packages; not known to the advisory service: rq"


def test_a_known_vulnerability_fails_and_is_named_with_the_version_that_mends_it() -> None:
    verdict = judge_audit(1, found(SOUND, WEAK, UNKNOWN), "Found 1 known vulnerability in 1 package")

    assert not verdict.passed
    assert verdict.output == "  aiohttp 3.0.0: GHSA-1, fixed in 3.0.1\n"


def test_an_audit_that_could_look_at_nothing_does_not_call_itself_ok() -> None:
    verdict = judge_audit(0, found(UNKNOWN), "")

    assert verdict.passed
    assert verdict.line.startswith("dependency audit skipped: ")


@pytest.mark.parametrize(
    "stderr",
    [
        "Traceback …\nrequests.exceptions.ProxyError: HTTPSConnectionPool(host='pypi.org', port=443): Max retries",
        "Traceback …\nrequests.exceptions.ConnectionError: Failed to resolve 'pypi.org'",
        "Traceback …\npip_audit._service.interface.ServiceError",
        "ERROR:pip_audit._cli:Could not connect to PyPI's vulnerability feed",
    ],
)
def test_an_advisory_service_that_cannot_be_asked_is_let_pass_and_said(stderr: str) -> None:
    verdict = judge_audit(1, "", stderr)

    assert verdict.passed
    assert verdict.line.startswith("dependency audit skipped: ")


@pytest.mark.parametrize(
    ("code", "stderr"),
    [(1, "ERROR:pip_audit._cli:requirement django is missing a hash"), (1, ""), (0, "")],
)
def test_an_audit_that_fails_for_any_other_reason_fails(code: int, stderr: str) -> None:
    assert not judge_audit(code, "", stderr).passed


def test_a_check_that_fails_shows_what_it_said() -> None:
    verdict = run("a check", ["sh", "-c", "echo why; exit 3"], {"PATH": "/usr/bin:/bin"})

    assert (verdict.passed, verdict.line, verdict.output) == (False, "a check: FAILED", "why\n")
