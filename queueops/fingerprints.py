"""What dead letters of one cause have in common, as one short text: stable over ids, numbers and what people wrote."""

from __future__ import annotations

import hashlib
import re
from typing import Any

CHARACTERS = 32
UNKNOWN_CAUSE = "bug"

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|“[^”]*”|`[^`]*`")
# Ids, stamps and addresses of objects: whatever has a digit in it, as far as it goes.
_NUMBERED = re.compile(r"[\w.:+-]*\d[\w.:+-]*")
_FRAME = re.compile(r'File ".*?((?:automations|queueops|webhooks|chatautodm)/[^"]+)", line \d+, in (\w+)')


def fingerprint(letter: Any) -> str:
    """Of anything with a dead letter's fields, also of a migration's rows.

    Meta's own code names a cause, else the title that we gave it. An exception of ours is named by its class, by the
    function of ours that raised it, and by its message without what changes from one to the next.
    """
    parts: tuple[object, ...] = (letter.func, letter.cause_verdict)
    if letter.cause_code:
        parts += (letter.cause_code, letter.cause_subcode)
    elif letter.cause_verdict != UNKNOWN_CAUSE:
        parts += (letter.cause_title,)
    else:
        parts += (letter.cause_title, _place(letter.traceback), _constant(letter.error))
    return hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=CHARACTERS // 2).hexdigest()


def _place(traceback: str) -> str:
    """Module and function of ours that were nearest to the error, "" when there is none. No line: deploys move it."""
    frames = _FRAME.findall(traceback)
    return " ".join(frames[-1]) if frames else ""


def _constant(message: str) -> str:
    return _NUMBERED.sub("#", _QUOTED.sub("…", message))[:200]
