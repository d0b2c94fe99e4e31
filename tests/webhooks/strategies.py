"""JSON as nobody should send it: any value at all, and good bodies with something wrong in them."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from tests.webhooks.bodies import comment, direct, message, payload

# Every key that the parser looks at, so that values of the wrong type land where they hurt.
KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """object entry id time messaging standby changes changed_fields field value sender recipient timestamp message
        mid text attachments type payload reply_to story quick_reply referral ref is_echo is_self is_deleted username
        is_unsupported postback title reaction read message_edit optin from media parent_id comment_id media_id""",
    )
)
WORDS = st.sampled_from(["instagram", "comments", "mentions", "messages", "story_mention", "0", "12334", "", "\0"])
# Surrogates included: a `\ud83d` on the wire is one.
TEXTS = st.text(st.characters(exclude_categories=()))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | TEXTS, inner, max_size=6), max_leaves=20
)
PIECES: list[tuple[str, dict[str, Any]]] = [
    ("messaging", message(text="LINK")),
    ("messaging", message(text="Yes", quick_reply={"payload": "YES"})),
    ("messaging", message(text="price", reply_to={"story": {"id": "s_1"}})),
    ("messaging", message(attachments=[{"type": "story_mention", "payload": {}}])),
    ("messaging", direct(postback={"mid": "m_2", "payload": "GO"})),
    ("messaging", direct(referral={"ref": "bio"})),
    ("messaging", direct(read={"mid": "m_3"})),
    ("changes", comment()),
    ("changes", comment("live_comments", parent_id="c_0")),
    ("changes", {"field": "mentions", "value": {"media_id": "p_1"}}),
    ("changes", {"field": "messages", "value": message(text="LINK")}),
    ("changes", {"field": "brand_new", "value": 1}),
]
DOCUMENTS = [
    json.loads(payload(name))
    for name in (
        "batch_mixed.json",
        "changes_messages_real_shape.json",
        "comment_ad.json",
        "comment_flat_ig_login.json",
        "dm_ad_referral.json",
        "dm_quick_reply.json",
        "dm_story_mention.json",
        "dm_story_reply.json",
        "handover_pass_thread_control.json",
        "top_level_array.json",
    )
]


def paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside, the whole included."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from paths(child, (*at, key))


def replaced(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@st.composite
def spoilt_values(draw: st.DrawFn, document: Any) -> Any:
    """The document with one to three values, at any depth, replaced by anything."""
    for _ in range(draw(st.integers(1, 3))):
        document = replaced(document, draw(st.sampled_from(list(paths(document)))), draw(VALUES))
    return document


@st.composite
def spoilt_bytes(draw: st.DrawFn) -> bytes:
    """A good body with one to five bytes changed, cut out or put in."""
    body = bytearray(json.dumps(draw(st.sampled_from(DOCUMENTS))).encode())
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(body) - 1))
        body[start : start + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(body)


BODIES = (
    st.binary()
    | spoilt_bytes()
    | (VALUES | st.sampled_from(DOCUMENTS).flatmap(spoilt_values)).map(lambda document: json.dumps(document).encode())
)
