"""Who sent this: Meta signs the raw bytes of every body with the app's secret (FACTS section 2)."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

PREFIX = "sha256="


def sign(body: bytes, secret: str) -> str:
    """The value of `X-Hub-Signature-256` for these bytes: `sha256=` and 64 lower-case hex digits."""
    # An undecodable byte in the environment arrives as a surrogate; it goes back to the byte it was.
    return PREFIX + hmac.digest(secret.encode(errors="surrogateescape"), body, "sha256").hex()


def verify(body: bytes, header: bytes | None, secrets: Sequence[str]) -> bool:
    """Whether the header is the signature of exactly these bytes by one of the secrets.

    Bytes are compared, in constant time: a `str` with a non-ASCII character would make `compare_digest` raise. Meta
    writes lower-case hex and nothing else is accepted. An empty secret signs nothing: anybody could forge with it.
    """
    if header is None:
        return False
    return any(hmac.compare_digest(sign(body, secret).encode(), header) for secret in secrets if secret)
