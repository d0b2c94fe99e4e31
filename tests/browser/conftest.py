"""A real Chromium on the running product, and the people who sit in front of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from automations import demo
from automations.models import Automation, Workspace
from tests.product.stack import Stack, running

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PASSWORD = "only-for-tests"
MILLISECONDS = 15_000


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    executable = next((found for name in NAMES if (found := shutil.which(name))), None)
    if executable is None:
        pytest.skip(f"no browser is installed: none of {', '.join(NAMES)} is found")
    # The browser's own loop runs in this thread between calls, which Django takes for a view's.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="package")
def product(browser: Browser, django_db_setup: None, django_db_blocker: Any) -> Iterator[Stack]:
    """One running product for the tests of this folder; asked for after the browser, without which it is of no use."""
    with django_db_blocker.unblock():
        with running() as stack:
            yield stack
        User.objects.all().delete()


@pytest.fixture
def stack(product: Stack) -> Stack:
    """The running product, as new: also what an operator changed."""
    product.forget()
    Automation.objects.all().delete()
    Workspace.objects.all().delete()
    demo.seed()
    User.objects.all().delete()
    return product


@pytest.fixture
def as_user(
    browser: Browser, stack: Stack, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Page]]:
    """Log somebody in by the form, in a browser window of their own; a picture is taken when the test fails."""
    contexts: list[BrowserContext] = []

    def as_user(user: User, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(MILLISECONDS)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{stack.web}/admin/")
        page.fill("#id_username", user.username)
        page.fill("#id_password", PASSWORD)
        page.press("#id_password", "Enter")
        expect(page).to_have_url(f"{stack.web}/admin/")
        return page

    yield as_user
    failed = getattr(request.node, "failed", False)
    for n, context in enumerate(contexts):
        if failed:
            context.pages[0].screenshot(path=tmp_path / f"failed-{n}.png", full_page=True)
        context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if call.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report


def operator(name: str = "ada") -> User:
    return User.objects.create_superuser(name, password=PASSWORD)


def viewer(name: str = "maria") -> User:
    """A member of staff who may see, and do nothing."""
    user = User.objects.create_user(name, password=PASSWORD, is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_", content_type__app_label__in=("automations", "queueops"))
    )
    return user
