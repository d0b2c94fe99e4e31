"""Every page of the console as axe sees it: in the light and in the dark, on a desk and on a phone."""

from __future__ import annotations

import pytest

from tests.browser.walk import DESK, PHONE, SCHEMES, bring_axe, faults


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [DESK["width"], PHONE["width"]], ids=["desk", "phone"])
def test_axe_finds_no_serious_fault(walked, width, scheme):
    found = {seen.name: seen.faults[width, scheme] for seen in walked if seen.faults[width, scheme]}
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
