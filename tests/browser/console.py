"""Parts of the console's pages, as people find them."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


def card(page: Page, title: str) -> Locator:
    """The part of a page with this heading."""
    return page.locator("section.cad-card", has=page.get_by_role("heading", name=title, exact=True))


def row(page: Page, text: str) -> Locator:
    """The rows of a list that have this text."""
    return page.locator("#result_list tbody tr", has_text=text)


def number(page: Page, name: str) -> Locator:
    """What stands under this name among a page's numbers."""
    name_there = page.locator("dt").get_by_text(name, exact=True)
    return page.locator("dl.cad-numbers > div", has=name_there).locator("dd")


def menu(page: Page, name: str) -> Locator:
    """An item of the navigation; some have a count beside their name."""
    return page.locator("#nav-sidebar").get_by_role("link", name=name)


def confirm(page: Page, button: str, reason: str) -> None:
    """Say why, and press the button."""
    page.get_by_label("Why", exact=True).fill(reason)
    page.get_by_role("button", name=button, exact=True).click()
