"""What is installed is what was looked at: every package in one version, known by the hashes of its files."""

from __future__ import annotations

import re

import pytest

from tests.checks import ROOT


@pytest.mark.parametrize("name", ["base", "dev"])
def test_every_package_is_pinned_and_hashed(name):
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    required = [line for line in text.splitlines() if line[:1].strip() not in ("", "#")]

    assert len(required) > 20
    loose = [line for line in required if not re.match(r"[\w.\[\]-]+==\S+.* --hash=sha256:[0-9a-f]{64}", line)]
    assert loose == []


def test_they_are_installed_by_their_hashes_and_audited():
    installs = [line for line in (ROOT / "Makefile").read_text().splitlines() if "pip install" in line]

    assert len(installs) == 2
    assert all("--require-hashes" in line for line in installs)
