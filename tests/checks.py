"""The last part of `make check`: what neither ruff nor mypy nor import-linter sees. Run it as `python -m tests.checks`.

Each check is a program of its own, run as one would run it by hand, in an environment like production's. One line a
check says how it went; the output of one that failed follows its line. The exit code is 1 when any failed.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, "manage.py"]
COMMANDS = {
    "missing migrations": [*MANAGE, "makemigrations", "--check", "--dry-run"],
    "deploy checks": [*MANAGE, "check", "--deploy", "--fail-level", "WARNING"],
    "API schema": [*MANAGE, "spectacular", "--validate", "--fail-on-warn", "--file", os.devnull],
}
AUDIT = "dependency audit"
AUDIT_COMMAND = [sys.executable, "-m", "pip_audit", "-r", "requirements/base.txt", "--require-hashes"]
AUDIT_COMMAND += ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
AUDIT_SECONDS = 240

# How pip-audit ends when the advisories cannot be had: by an exception of the HTTP library, or in its own words.
NOT_REACHED = ("requests.exceptions.", "urllib3.exceptions.", "pip_audit._service.interface.", "Could not connect to")


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one check went, as it is printed; `output` is what a person needs to see of a failure."""

    passed: bool
    line: str
    output: str = ""


def production(folder: Path) -> dict[str, str]:
    """An environment like production's, with secrets made up for this run; nothing in it connects to anything."""
    return {
        **{name: os.environ[name] for name in ("HOME", "LANG", "PATH") if name in os.environ},
        "DEBUG": "false",
        "SECRET_KEY": secrets.token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "ALLOWED_HOSTS": "chatautodm.example.com",
        "INSTAGRAM_APP_SECRET": secrets.token_hex(16),
        "INSTAGRAM_VERIFY_TOKEN": secrets.token_hex(16),
        "DATABASE_URL": f"sqlite:///{folder}/checks.sqlite3",
        "REDIS_URL": "redis://127.0.0.1:9",
        "ALERT_EMAILS": "operators@chatautodm.example.com",
    }


def run(name: str, command: list[str], env: dict[str, str]) -> Verdict:
    """Run a check that speaks by its exit code."""
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Verdict(True, f"{name}: ok")
    return Verdict(False, f"{name}: FAILED", done.stdout + done.stderr)


def audit() -> Verdict:
    """Ask the package index for known vulnerabilities of everything in requirements/base.txt."""
    try:
        done = subprocess.run(
            AUDIT_COMMAND, cwd=ROOT, capture_output=True, text=True, check=False, timeout=AUDIT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Verdict(True, f"{AUDIT} skipped: no answer within {AUDIT_SECONDS} s")
    return judge_audit(done.returncode, done.stdout, done.stderr)


def judge_audit(code: int, stdout: str, stderr: str) -> Verdict:
    """What pip-audit's end means. Only an index that cannot be asked is let pass; findings and mistakes are not."""
    try:
        packages: list[dict[str, Any]] = json.loads(stdout)["dependencies"]
    except ValueError:
        last = (stderr.strip().splitlines() or ["it said nothing"])[-1]
        if code and any(words in stderr for words in NOT_REACHED):
            return Verdict(True, f"{AUDIT} skipped: the advisory service could not be asked ({last[:160]})")
        return Verdict(False, f"{AUDIT}: FAILED", stderr)
    found = [
        f"  {package['name']} {package['version']}: {vulnerability['id']}, "
        f"fixed in {', '.join(vulnerability['fix_versions']) or 'no version yet'}\n"
        for package in packages
        for vulnerability in package.get("vulns", [])
    ]
    if found or code:
        return Verdict(False, f"{AUDIT}: FAILED", "".join(found) or stderr)
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if len(unknown) == len(packages):
        return Verdict(True, f"{AUDIT} skipped: the advisory service knows none of the {len(packages)} packages")
    rest = f"; not known to the advisory service: {', '.join(unknown)}" if unknown else ""
    return Verdict(True, f"{AUDIT}: ok, {len(packages) - len(unknown)} packages{rest}")


def main() -> int:
    """All checks, one after the other; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        env = production(Path(folder))
        verdicts = [_told(run(name, command, env)) for name, command in COMMANDS.items()]
    verdicts.append(_told(audit()))
    return int(not all(verdict.passed for verdict in verdicts))


def _told(verdict: Verdict) -> Verdict:
    sys.stdout.write(f"{verdict.line}\n{verdict.output}")
    sys.stdout.flush()
    return verdict


if __name__ == "__main__":
    sys.exit(main())
