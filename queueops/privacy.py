"""What people wrote is shown to those who may see it; everybody else sees that there is something, and why not what."""

from __future__ import annotations

from typing import Any

SEE_TEXT = "queueops.see_text"
HIDDEN = "hidden: it takes the permission “Can see what people wrote”"


def may_see_text(user: Any) -> bool:
    return bool(user.has_perm(SEE_TEXT))


def shown(user: Any, text: str) -> str:
    """The text, or that there is one."""
    return text if not text or may_see_text(user) else HIDDEN
