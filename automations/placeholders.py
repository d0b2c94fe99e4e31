"""`{{username}}` and its like in what account owners write: checked when written, filled in when sent.

`{{ username|there }}` takes "there" when the name is missing. Values come from strangers: they are inserted once, never
read as a template, and cleaned for where they go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

import regex

from automations.texts import cut

VARIABLES = {
    "username": "who wrote, without the @",
    "account": "the account's own username",
    "text": "what they wrote",
    "payload": "the payload of the button they tapped",
}
MAX_VALUE_CHARACTERS = 200

_PLACEHOLDER = regex.compile(r"\{\{([^{}|]*)(?:\|([^{}]*))?\}\}")
# Controls but the line feed, halves of characters, and what would turn the direction of our own words around.
_UNWANTED = regex.compile(r"[[\p{Cc}\p{Cs}\u202A-\u202E\u2066-\u2069]--\n]", regex.V1)


class TemplateError(ValueError):
    """A placeholder that nothing can fill in; the message names it."""


def check_template(template: str) -> None:
    """Raises TemplateError for an unknown variable, or braces that are no placeholder."""
    for placeholder in _PLACEHOLDER.finditer(template):
        if _name(placeholder) not in VARIABLES:
            raise TemplateError(f"{placeholder[0]} is not known; the variables are {known_variables()}")
    rest = _PLACEHOLDER.sub(" ", template)
    if "{{" in rest:
        found = cut(rest[rest.index("{{") :], 20)
        raise TemplateError(
            f"“{found}” is no complete variable; write one as {{{{username}}}} or {{{{username|there}}}}"
        )


def known_variables() -> str:
    return ", ".join(f"{{{{{name}}}}}" for name in VARIABLES)


def without_placeholders(template: str) -> str:
    """What is sent whatever the values are."""
    rest: str = _PLACEHOLDER.sub("", template)
    return rest


def render(template: str, variables: Mapping[str, str]) -> str:
    """The template with its values as plain text of at most 200 characters each. Never raises.

    A missing or blank value gives the fallback or nothing. Line breaks stay, other control characters do not.
    """
    return _filled(template, variables, str)


def render_url(template: str, variables: Mapping[str, str]) -> str:
    """As `render`, with every inserted value percent-encoded, `/` and `&` too."""
    return _filled(template, variables, lambda value: quote(value, safe="", errors="ignore"))


def _filled(template: str, variables: Mapping[str, str], escape: Callable[[str], str]) -> str:
    if "{{" not in template:
        return template

    def value(placeholder: regex.Match[str]) -> str:
        return escape(_cleaned(variables.get(_name(placeholder)) or "") or (placeholder[2] or "").strip())

    return _PLACEHOLDER.sub(value, template)


def _cleaned(value: str) -> str:
    text: str = _UNWANTED.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
    return cut(text.strip(), MAX_VALUE_CHARACTERS)


def _name(placeholder: regex.Match[str]) -> str:
    return placeholder[1].strip().lower()
