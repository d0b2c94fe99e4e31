"""The short form of `manage.py prove_durability`, with a fresh seed every run."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys

from tests.product.stack import ROOT


def figure(report: str, name: str) -> int:
    found = re.search(rf"^  {name} +(\d+)", report, re.MULTILINE)
    assert found, report
    return int(found[1])


def test_nothing_is_lost_and_nothing_sent_twice_whatever_is_killed_filled_or_cut():
    seed = secrets.randbelow(10**6)
    drill = subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "prove_durability", "--short", "--seed", str(seed)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=200,
    )

    report = drill.stdout
    assert drill.returncode == 0, f"run it again with --seed {seed} --keep\n{report}"
    assert [figure(report, name) for name in ("lost", "doubled", "unexplained", "unfinished")] == [0, 0, 0, 0]
    assert figure(report, "faults") == 12, report
    assert figure(report, "sent once") > 200, report
