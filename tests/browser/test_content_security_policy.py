"""The console in a browser that holds it to its content security policy. Of our own pages see test_every_page.py."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import django_rq
import pytest
from django.conf import settings
from playwright.sync_api import Error, expect

from chatautodm.security_settings import DJANGO_RQ_SCRIPT
from tests.browser.conftest import operator

RQ_PAGES = ("/admin/django_rq/dashboard/", "/admin/django_rq/dashboard/queues/0/")


def test_no_page_of_others_violates_it(stack, as_user):
    page = as_user(operator())
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    for path in RQ_PAGES:
        answer = page.goto(f"{stack.web}{path}")
        assert answer.status == 200, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        page.wait_for_load_state("networkidle")
        assert said == [], f"{path}: {said}"


def test_an_injected_script_does_not_run(stack, as_user):
    page = as_user(operator())
    title = page.title()
    with pytest.raises(Error, match="violates the following Content Security Policy"):
        page.add_script_tag(content="document.title = 'taken over'")
    handler = "<img src=x onerror='document.title = 1'>"
    with page.expect_console_message(lambda message: "inline event handler" in message.text):
        page.evaluate("html => document.body.insertAdjacentHTML('beforeend', html)", handler)
    expect(page).to_have_title(title)


def test_the_hash_is_that_of_django_rqs_script():
    folder = Path(django_rq.__file__).parent / "templates"
    pages = [path.read_text() for path in folder.rglob("*.html")]
    scripts = {
        found for page in pages for found in re.findall(r"<script[^>]*[^/]>(?!</script>)(.+?)</script>", page, re.S)
    }
    hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts}
    assert DJANGO_RQ_SCRIPT in hashes
    assert settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["default-src"] == ["'none'"]
