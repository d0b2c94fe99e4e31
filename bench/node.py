"""Node and what the peers need of npm's registry, installed once into bench/peers/node_modules."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from typing import Any

from bench.servers import PEERS, ROOT, Command

OLDEST = 20
MISSING = "Node is missing"


@functools.cache
def version() -> str | None:
    """Node's version, such as `20.20.2`; None when there is none here, or one that the peers do not run on."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        return None
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip().lstrip("v")  # noqa: S603
    return found if int(found.split(".")[0]) >= OLDEST else None


def install() -> None:
    """Install the pinned packages unless they are there. Raises RuntimeError when npm cannot."""
    installed, lock = PEERS / "node_modules" / ".package-lock.json", PEERS / "package-lock.json"
    if version() is None or (installed.exists() and installed.stat().st_mtime >= lock.stat().st_mtime):
        return
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=PEERS, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        # The reason comes first; npm's own usage follows it.
        said = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise RuntimeError("\n".join(["`npm ci` in bench/peers failed:", *said[:12]]))
    installed.touch()


def command(script: str, *arguments: object) -> Command:
    """The command line of one of the peers."""
    return ["node", PEERS / script, *map(str, arguments)]


def run(script: str, *arguments: object, lines: bytes = b"", **env: str) -> Any:
    """Run one of the peers to its end; the JSON of its last line, None when it says nothing."""
    done = subprocess.run(  # noqa: S603 - our own scripts
        command(script, *arguments),
        cwd=ROOT,
        env={**os.environ, **env},
        input=lines,
        capture_output=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{script} ended with {done.returncode}: {done.stderr.decode(errors='replace')[-1000:]}")
    said = done.stdout.strip().splitlines()
    return json.loads(said[-1]) if said else None


def packages() -> str:
    """The peers' own versions, in one line."""
    pinned = json.loads((PEERS / "package.json").read_text())["dependencies"]
    return ", ".join(f"{name} {number}" for name, number in pinned.items())
