"""Bodies for the tests of the edge: the files of tests/payloads, and small ones built in place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parent.parent / "payloads"
ACCOUNT = "17841456778752687"
PERSON = "8422491661125971"
AT_MS = 1569262485349
SECONDS = 1755779280


def payload(name: str) -> bytes:
    return (PAYLOADS / name).read_bytes()


def body(*entries: Any) -> bytes:
    return json.dumps({"object": "instagram", "entry": entries}).encode()


def entry(**parts: Any) -> dict[str, Any]:
    return {"id": ACCOUNT, "time": SECONDS, **parts}


def direct(**parts: Any) -> dict[str, Any]:
    """An element of `messaging[]`."""
    return {"sender": {"id": PERSON}, "recipient": {"id": ACCOUNT}, "timestamp": AT_MS, **parts}


def message(**parts: Any) -> dict[str, Any]:
    return direct(message={"mid": "m_1", **parts})


def comment(field: str = "comments", **parts: Any) -> dict[str, Any]:
    """An element of `changes[]`; `sender` stands for the key `from`, which Python keeps to itself."""
    sender = parts.pop("sender", {"id": PERSON, "username": "maria.example"})
    value = {"id": "c_1", "from": sender, "text": "LINK", "media": {"id": "p_1"}}
    return {"field": field, "value": {**value, **parts}}
