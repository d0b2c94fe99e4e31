"""What somebody copied from Instagram or from a log into one search field: an id, a name, or a page's address."""

from __future__ import annotations

import string
from dataclasses import dataclass
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

HOSTS = ("instagram.com", "instagr.am")
POSTS = frozenset({"p", "reel", "reels", "tv"})
# Places of Instagram's own at the beginning of an address, which are nobody's name.
NOT_NAMES = frozenset({"direct", "stories", "explore", "accounts", "about", "legal", "web"})
SHORTCODE = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
SHORTCODE_CHARACTERS = 11
MOST_CHARACTERS = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for; one of these, or nothing.

    id: an event's key, a message or comment id, or an id of a person or account. username: without the @.
    post: the media id that a post's shortcode stands for. understood: how an address was read, for who typed it.
    """

    id: str = ""
    username: str = ""
    post: str = ""
    understood: str = ""


def read(text: str) -> Asked:
    """Takes anything that people type."""
    text = text.strip()[:MOST_CHARACTERS].replace("\0", "")
    if text.startswith("@"):
        return Asked(username=text[1:].strip().lower())
    return _address(text) if _is_address(text) else Asked(id=text)


def _is_address(text: str) -> bool:
    host = urlsplit(text if "//" in text else f"//{text}").hostname if _could_be_address(text) else None
    return host is not None and any(host == known or host.endswith(f".{known}") for known in HOSTS)


def _could_be_address(text: str) -> bool:
    # urlsplit raises on brackets, which no address of Instagram's has.
    return "/" in text and "[" not in text and "]" not in text


def _address(text: str) -> Asked:
    split = urlsplit(text if "//" in text else f"//{text}")
    parts = [part for part in split.path.split("/") if part]
    named = dict(pairwise(parts))
    comment = named.get("r") or named.get("c") or parse_qs(split.query).get("comment_id", [""])[0]
    if comment:
        return Asked(id=comment, understood=f"The address is of the comment {comment}.")
    shortcode = next((named[place] for place in parts if place in POSTS and place in named), "")
    if shortcode:
        return Asked(post=media_id(shortcode), understood=f"The address is of the post {shortcode}.")
    if len(parts) == 1 and parts[0] not in NOT_NAMES:
        return Asked(username=parts[0].lower(), understood=f"The address is of the profile @{parts[0].lower()}.")
    return Asked(understood="The address is neither of a comment, nor of a post, nor of a profile.")


def media_id(shortcode: str) -> str:
    """The number that the shortcode writes in base 64; "" when it is none. A private post's has a longer tail."""
    number = 0
    for character in shortcode[:SHORTCODE_CHARACTERS]:
        if character not in SHORTCODE:
            return ""
        number = number * 64 + SHORTCODE.index(character)
    return str(number)
