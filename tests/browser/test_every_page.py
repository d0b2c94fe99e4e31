"""Every page of the console: as axe sees it in the light and in the dark, on a desk and on a phone; how wide it is.

A tenth of the pages in a run, each in one of these looks, and others in the next; everything with EVERY_LOOK=1, which
takes some minutes. One file, so that no page is opened by two processes.
"""

from __future__ import annotations

import pytest

from tests.browser.walk import DESK, PHONE, SCHEMES, bring_axe, faults


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [DESK["width"], PHONE["width"]], ids=["desk", "phone"])
def test_axe_finds_no_serious_fault(walked, width, scheme):
    found = {seen.name: faults for seen in walked if (faults := seen.faults.get((width, scheme)))}
    assert not found, "\n\n".join(f"{name}:\n" + "\n".join(faults) for name, faults in found.items())


@pytest.mark.parametrize(
    ("rule", "html"),
    [
        ("color-contrast", "<p style='background: #fff; color: #999'>Too faint</p>"),
        ("button-name", "<button style='height: 30px; width: 30px'></button>"),
        ("target-size", "<button style='font-size: 8px; padding: 0'>a</button><button style='padding: 0'>b</button>"),
    ],
    ids=["contrast", "name", "size"],
)
def test_axe_does_find_what_is_wrong(browser, rule, html):
    page = browser.new_page()
    page.set_content(f"<!doctype html><html lang='en'><title>Wrong</title><main>{html}</main>")
    bring_axe(page)
    found = faults(page, DESK, "light")
    page.close()
    assert [fault for fault in found if fault.startswith(rule)]


def test_nothing_is_wider_than_its_screen(walked):
    wide = {(seen.name, screen): width for seen in walked for screen, width in seen.widths.items() if width > screen}
    assert not wide


def test_tables_become_cards_on_a_phone(walked):
    tables = {seen.name: seen.tables for seen in walked if seen.tables}
    assert not tables


def test_no_page_violates_the_content_security_policy(walked):
    said = {seen.name: seen.said for seen in walked if seen.said}
    assert not said
