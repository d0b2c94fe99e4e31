"""One walk through every page of the console: what axe, the screens' widths and the browser's console say of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page, ViewportSize

from tests.browser.places import Place

DESK, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=390, height=844)
SCHEMES = ("light", "dark")
Look = tuple[ViewportSize, str]
LOOKS: list[Look] = [(view, scheme) for view in (DESK, PHONE) for scheme in SCHEMES]
SERIOUS = ("serious", "critical")
# Of all rules only this one sees colours.
COLOURS = {"type": "rule", "values": ["color-contrast"]}
RULES = {"target-size": {"enabled": True}}
AXE = "options => axe.run(document, options).then(found => found.violations)"
# A colour on its way to another is neither.
STILL = "*, ::before, ::after { animation: none !important; transition: none !important; }"
# Unfold looks at what the person wants once, as the page is loaded.
DARK = "dark => document.documentElement.classList.toggle('dark', dark)"
WIDTH = "document.documentElement.scrollWidth"
# Tables whose values stand beside each other on a phone as well, but for those of short numbers.
TABLES = """[...document.querySelectorAll("#result_list td:last-child, .cad-table:not(.cad-numeric) td:last-child")]
    .filter(cell => cell.checkVisibility() && getComputedStyle(cell).display === "table-cell")
    .map(cell => cell.outerHTML)"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A page as it was seen.

    widths: the page's, by the screen's. faults: axe's, by (width, scheme), of the looks that were taken. tables: those
    that did not become cards on a phone.
    """

    name: str
    widths: dict[int, int]
    tables: list[str]
    faults: dict[tuple[int, str], list[str]]
    said: list[str] = field(default_factory=list)


def walk(page: Page, places: dict[str, Place], looks: Callable[[], Sequence[Look]]) -> Iterator[Seen]:
    """Open each, and look at it as `looks` says for it, and how wide it is on a desk and on a phone."""
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if _is_of_policy(message) else None)
    for name, place in places.items():
        page.set_viewport_size(DESK)
        said.clear()
        place.open(page)
        of_policy = list(said)
        bring_axe(page)
        widths = {DESK["width"]: page.evaluate(WIDTH)}
        found = {(view["width"], scheme): faults(page, view, scheme) for view, scheme in looks()}
        page.set_viewport_size(PHONE)
        widths[PHONE["width"]] = page.evaluate(WIDTH)
        yield Seen(name, widths, page.evaluate(TABLES), found, of_policy)


def bring_axe(page: Page) -> None:
    """Into this page; what is evaluated so is not held to the content security policy."""
    page.add_style_tag(content=STILL)
    page.evaluate(AXE_SCRIPT)


def faults(page: Page, view: ViewportSize, scheme: str) -> list[str]:
    """What axe, which is in the page, calls serious or worse."""
    page.set_viewport_size(view)
    page.evaluate(DARK, scheme == "dark")
    options = {"rules": RULES} if scheme == "light" else {"runOnly": COLOURS}
    found = page.evaluate(AXE, {"resultTypes": ["violations"], **options})
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:200]}\n  {node['failureSummary']}"
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


def _is_of_policy(message: ConsoleMessage) -> bool:
    return "Content Security" in message.text
