"""What Meta posts in the operators' days: a comment under a post, a direct message."""

from __future__ import annotations

import json

from tests.product.test_payload_calls import PERSON, SHOP

NAME = "maria.example"


def comment(text: str, comment_id: str, person: str = PERSON, name: str = NAME) -> bytes:
    value = {"from": {"id": person, "username": name}, "media": {"id": "1"}, "id": comment_id, "text": text}
    return _body(changes=[{"field": "comments", "value": value}])


def message(text: str, mid: str, person: str = PERSON) -> bytes:
    said = {"mid": mid, "text": text}
    return _body(
        messaging=[{"sender": {"id": person}, "recipient": {"id": SHOP}, "timestamp": 1755779280000, "message": said}]
    )


def _body(**parts: object) -> bytes:
    return json.dumps({"object": "instagram", "entry": [{"id": SHOP, "time": 1755779280, **parts}]}).encode()
