"""`Idempotency-Key`: a call that is made again, because its answer was lost, is answered again and not done again.

A key belongs to a user and to one request. Its answer is kept in Redis for a day, where the work itself happens: while
Redis is away neither is possible. What was refused is not kept, for nothing was done. See docs/adr/0032-api-tokens.md.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Any

import orjson
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from queueops import connections
from queueops.problems import Conflict, Unprocessable

HEADER, REPLAYED = "Idempotency-Key", "Idempotent-Replayed"
PATTERN = r"^[!-~]{1,200}$"
KEPT_SECONDS = 24 * 60 * 60
# Longer than any call takes; afterwards one whose process died may be made again.
UNDER_WAY_SECONDS = 300

PARAMETERS = [
    OpenApiParameter(
        HEADER,
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": PATTERN},
        OpenApiParameter.HEADER,
        description="Any text of your own, new for each thing to be done. Sent again with the same request within 24 "
        "hours it gives the same answer, and nothing is done again; with another request it gives 422.",
    ),
    OpenApiParameter(
        REPLAYED,
        str,
        OpenApiParameter.HEADER,
        response=[200],
        description="`true` when this is the answer of an earlier call.",
    ),
]


def once(request: Request, act: Callable[[], dict[str, Any]]) -> Response:
    """The answer of `act`, or the one that it gave when this key came before.

    Raises ValidationError (no usable key), Conflict (the same call is under way), Unprocessable (the key belongs to
    another request), RedisError, and whatever `act` raises.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return Response(act())
    if not re.fullmatch(PATTERN, key):
        raise ValidationError({HEADER: ["1 to 200 characters: letters, digits and punctuation, no spaces."]})
    redis = connections.client()
    name, asked = _name(request.user, key), _fingerprint(request)
    if not redis.set(name, _kept(asked, None), nx=True, ex=UNDER_WAY_SECONDS):
        return _again(redis.get(name), asked)
    answer = None
    try:
        answer = act()
        redis.set(name, _kept(asked, answer), ex=KEPT_SECONDS)
    finally:
        if answer is None:
            redis.delete(name)
    return Response(answer)


def _again(kept: Any, asked: str) -> Response:
    # None: it was refused, or forgotten, in this very moment.
    before = orjson.loads(kept) if kept else {"asked": asked, "answer": None}
    if before["asked"] != asked:
        raise Unprocessable(f"Another request had this {HEADER}. Use a new one for a new request.")
    if before["answer"] is None:
        raise Conflict(f"The call with this {HEADER} is under way. Ask again in some seconds for its answer.")
    return Response(before["answer"], headers={REPLAYED: "true"})


def _kept(asked: str, answer: dict[str, Any] | None) -> bytes:
    return orjson.dumps({"asked": asked, "answer": answer})


def _name(user: Any, key: str) -> str:
    return f"cad:idempotency:{hashlib.sha256(f'{user.pk}:{key}'.encode()).hexdigest()}"


def _fingerprint(request: Request) -> str:
    """Of what was asked for, where and with which parameters; however the JSON was laid out."""
    query = sorted(request.query_params.lists())
    asked = [request.method, request.path.removesuffix("/"), query, request.data]
    return hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()
