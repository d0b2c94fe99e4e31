"""A real Chromium on the running product, and the people who sit in front of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.db import connections
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from automations import demo
from automations.models import Automation, Workspace
from tests.browser.places import Place, before_the_log_in, everything, happenings
from tests.browser.walk import LOOKS, Look, Seen, walk
from tests.people import make_groups
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
CONSENT_ABOVE = 3


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
        # While that loop runs, this thread has connections of its own: one left open would be cut by a later test
        # that takes the database away, and found dead when the next file with a browser begins.
        connections.close_all()
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="package")
def product(browser: Browser, django_db_setup: None, django_db_blocker: Any) -> Iterator[Stack]:
    """One running product for the tests of this folder; asked for after the browser, without which it is of no use."""
    with django_db_blocker.unblock():
        with running(QUEUE_CONSENT_ABOVE=str(CONSENT_ABOVE)) as stack:
            yield stack
        User.objects.all().delete()


@pytest.fixture
def stack(product: Stack) -> Stack:
    """The running product, as new."""
    renew(product)
    return product


def renew(product: Stack) -> None:
    """Forget what happened, and also what an operator changed."""
    product.forget()
    Automation.objects.all().delete()
    Workspace.objects.all().delete()
    demo.seed()
    User.objects.all().delete()


@pytest.fixture
def window(browser: Browser, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Page]]:
    """Browser windows, each of somebody else; pictures are taken when the test fails."""
    contexts: list[BrowserContext] = []

    def window(**options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(MILLISECONDS)
        contexts.append(context)
        return context.new_page()

    yield window
    failed = getattr(request.node, "failed", False)
    for n, context in enumerate(contexts):
        if failed:
            context.pages[0].screenshot(path=tmp_path / f"failed-{n}.png", full_page=True)
        context.close()


@pytest.fixture
def as_user(stack: Stack, window: Callable[..., Page]) -> Callable[..., Page]:
    """Somebody who is logged in, in a window of their own."""

    def as_user(user: User, **options: Any) -> Page:
        page = window(**options)
        page.context.add_cookies([session(user, stack)])
        page.goto(f"{stack.web}/admin/")
        return page

    return as_user


@pytest.fixture(scope="package")
def walked(browser: Browser, product: Stack, pytestconfig: pytest.Config) -> list[Seen]:
    """What was seen on the console's pages, before the log-in and after; looked at once, for all who ask.

    Everything takes minutes: without EVERY_LOOK it is a tenth of the pages, each in one of the looks.
    """
    random, is_all = Random(pytestconfig.getoption("randomly_seed")), bool(os.environ.get("EVERY_LOOK"))

    def looks() -> Sequence[Look]:
        return LOOKS if is_all else [random.choice(LOOKS)]

    def some(places: dict[str, Place]) -> dict[str, Place]:
        return {name: place for name, place in places.items() if is_all or random.random() < 1 / 10}

    renew(product)
    with happenings(product), browser.new_context() as strange, browser.new_context() as known:
        known.add_cookies([session(operator(), product)])
        before, after = before_the_log_in(product), everything(product)
        return [*walk(strange.new_page(), before, looks), *walk(known.new_page(), some(after), looks)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if call.when == "call":
        item.failed = report.failed  # type: ignore[attr-defined]
    return report


def session(user: User, stack: Stack) -> Any:
    """The cookie of somebody who has logged in."""
    client = Client()
    client.force_login(user)
    name = settings.SESSION_COOKIE_NAME
    return {"name": name, "value": client.cookies[name].value, "url": stack.web}


@cache
def hashed() -> str:
    """PASSWORD as it is stored; it takes the better part of a second."""
    return make_password(PASSWORD)


def operator(name: str = "ada") -> User:
    return User.objects.create(username=name, password=hashed(), is_staff=True, is_superuser=True)


def viewer(name: str = "maria") -> User:
    """A member of staff who may see, and do nothing."""
    user = User.objects.create(username=name, password=hashed(), is_staff=True)
    user.user_permissions.set(
        Permission.objects.filter(codename__startswith="view_", content_type__app_label__in=("automations", "queueops"))
    )
    return user


def member(group: str, name: str) -> User:
    """A member of staff in one of the groups."""
    make_groups()
    user = User.objects.create(username=name, password=hashed(), is_staff=True)
    user.groups.add(Group.objects.get(name=group))
    return user
