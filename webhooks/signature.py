"""Who sent this: Meta signs the raw bytes of every body with the app's secret (FACTS section 2)."""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Sequence

PREFIX = "sha256="
BLOCK_BYTES = 64  # SHA-256's


def sign(body: bytes, secret: str) -> str:
    """The value of `X-Hub-Signature-256` for these bytes: `sha256=` and 64 lower-case hex digits."""
    inner, outer = (hashed.copy() for hashed in _keyed(secret))
    inner.update(body)
    outer.update(inner.digest())
    return PREFIX + outer.hexdigest()


@functools.lru_cache(maxsize=16)
def _keyed(secret: str) -> tuple[hashlib._Hash, hashlib._Hash]:
    """HMAC (RFC 2104) as far as it depends on the secret alone: `hmac` would work that out for each body."""
    # An undecodable byte in the environment arrives as a surrogate; it goes back to the byte it was.
    key = secret.encode(errors="surrogateescape")
    if len(key) > BLOCK_BYTES:
        key = hashlib.sha256(key).digest()
    key = key.ljust(BLOCK_BYTES, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in key)), hashlib.sha256(bytes(byte ^ 0x5C for byte in key))


def verify(body: bytes, header: bytes | None, secrets: Sequence[str]) -> bool:
    """Whether the header is the signature of exactly these bytes by one of the secrets.

    Bytes are compared, in constant time: a `str` with a non-ASCII character would make `compare_digest` raise. Meta
    writes lower-case hex and nothing else is accepted. An empty secret signs nothing: anybody could forge with it.
    """
    if header is None:
        return False
    return any(hmac.compare_digest(sign(body, secret).encode(), header) for secret in secrets if secret)
