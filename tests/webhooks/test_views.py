"""What only the view can be given: Django's own limits, and WSGI's streams."""

from __future__ import annotations

import io

import pytest
from django.http import HttpRequest
from django.test import RequestFactory
from django.urls import resolve
from pytest_django import Settings

from tests.webhooks.doors import PATH, signed
from webhooks.views import instagram


class BrokenStream(io.RawIOBase):
    """A client that goes away while it sends."""

    def read(self, size: int = -1) -> bytes:
        raise OSError("the connection is gone")


def request(body: bytes) -> HttpRequest:
    return RequestFactory().post(PATH, body, content_type="application/json", headers=signed(body))


@pytest.mark.urls("webhooks.urls")
@pytest.mark.parametrize("path", [PATH, PATH + "/"])
def test_it_is_found_with_and_without_a_trailing_slash(path: str):
    assert resolve(path).func is instagram


def test_a_body_beyond_djangos_own_limit_is_413(settings: Settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert instagram(request(b"x" * 11)).status_code == 413


def test_a_body_without_an_announced_length_is_counted(settings: Settings):
    settings.WEBHOOK_MAX_BODY_BYTES = 10
    post = request(b"x" * 11)
    assert len(post.body) == 11
    del post.META["CONTENT_LENGTH"]
    assert instagram(post).status_code == 413


def test_a_client_that_goes_away_is_no_error_of_ours():
    post = request(b"{}")
    post._stream = BrokenStream()  # type: ignore[assignment]
    assert instagram(post).status_code == 400


def test_it_needs_no_csrf_token():
    assert instagram.csrf_exempt  # type: ignore[attr-defined]
