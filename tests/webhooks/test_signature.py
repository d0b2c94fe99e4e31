from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.signature import sign, verify

SECRET = "test_app_secret"
# FACTS section 2: bodies with their signatures.
VECTORS = [
    (
        SECRET,
        rb'{"text":"\u00e4\u00f6\u00e5"}',
        b"sha256=02331cadf5416e9e5dc4ecf73b5c9b7aa6577a90b90fbb6bad6e9a35d8a8f6a9",
    ),
    (
        SECRET,
        '{"text":"äöå"}'.encode(),
        b"sha256=1156bb8871b0fb6c41be587675ee25663758799081f9aa28d1ecccad94158e9d",
    ),
    (
        "test_app_secret_12345",
        b'{"test": "data"}',
        b"sha256=b97d7b8072d9fa2f85d92f21699aab0217aa4c7820212b276b499070b1cb6250",
    ),
]


@pytest.mark.parametrize(("secret", "body", "header"), VECTORS)
def test_it_knows_the_published_signatures(secret: str, body: bytes, header: bytes):
    assert sign(body, secret).encode() == header
    assert verify(body, header, [secret])


@given(body=st.binary(), secret=st.text(st.characters(exclude_categories=["Cs"]), max_size=100))
def test_it_signs_as_the_standard_library_does(body: bytes, secret: str):
    assert sign(body, secret) == "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()


def test_it_takes_a_signature_by_any_of_the_secrets():
    header = sign(b"{}", "second").encode()
    assert verify(b"{}", header, ["first", "second", "third"])
    assert not verify(b"{}", header, ["first", "third"])


def test_it_refuses_everything_while_no_secret_is_set():
    assert not verify(b"{}", sign(b"{}", SECRET).encode(), [])


def test_it_never_takes_an_empty_secret_for_one():
    assert not verify(b"{}", sign(b"{}", "").encode(), [""])


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"sha256=",
        sign(b"{}", SECRET).encode().removeprefix(b"sha256="),
        sign(b"{}", SECRET).encode().replace(b"sha256=", b"sha1="),
        b"sha256=" + sign(b"{}", SECRET).encode().removeprefix(b"sha256=").upper(),
        sign(b"{}", SECRET).encode() + b" ",
        sign(b"{}", SECRET).encode() + b"," + sign(b"{}", SECRET).encode(),
        "sha256=ä€".encode(),
    ],
)
def test_it_refuses_a_header_that_is_not_exactly_the_signature(header: bytes | None):
    assert not verify(b"{}", header, [SECRET])


def test_it_signs_with_a_secret_that_holds_undecodable_bytes():
    secret = b"\xff\xfe".decode(errors="surrogateescape")
    assert verify(b"{}", sign(b"{}", secret).encode(), [secret])


@given(body=st.binary(min_size=1), data=st.data())
def test_it_refuses_a_body_with_one_flipped_bit(body: bytes, data: st.DataObject):
    header = sign(body, SECRET).encode()
    flipped = bytearray(body)
    flipped[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert verify(body, header, [SECRET])
    assert not verify(bytes(flipped), header, [SECRET])


@given(body=st.binary(), position=st.integers(0, 70), bit=st.integers(0, 7))
def test_it_refuses_a_header_with_one_flipped_bit(body: bytes, position: int, bit: int):
    header = bytearray(sign(body, SECRET).encode())
    header[position] ^= 1 << bit
    assert not verify(body, bytes(header), [SECRET])


@given(body=st.binary(), header=st.none() | st.binary() | st.binary().map(lambda tail: b"sha256=" + tail))
def test_it_never_raises_on_any_header(body: bytes, header: bytes | None):
    assert not verify(body, header, [SECRET])
