"""The console in a browser that holds it to its content security policy."""

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
from tests.browser.test_pages_everywhere import pages as pages

RQ_PAGES = ("/admin/django_rq/dashboard/", "/admin/django_rq/dashboard/queues/0/")


def test_no_page_violates_it(stack, pages, as_user):
    page = as_user(operator())
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    further = ["/api/docs", "/admin/auth/user/add/", "/admin/automations/automation/add/", *RQ_PAGES]
    for address in (*pages.values(), *(f"{stack.web}{path}" for path in further)):
        answer = page.goto(address)
        assert answer.status == 200, address
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        page.wait_for_load_state("networkidle")
        assert said == [], f"{address}: {said}"


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
