"""One call as Meta reads it: the forms of FACTS section 5, and what Meta answers to anything else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

MAX_TEXT_BYTES = 1000
MAX_QUICK_REPLIES = 13
MAX_BUTTONS = 3
MAX_BUTTON_TEMPLATE_TEXT = 640
MAX_TITLE = 20


@dataclass(slots=True)
class Call:
    """A call and what became of it. `at` is in seconds since 1970.

    kind: `dm`, `private_reply`, `public_reply` or `sender_action`. recipient: the person's or the comment's id.
    status: the HTTP status it got; 200 with a `fault` that closes or hangs means sent and never told.
    """

    at: float
    path: str
    account: str = ""
    kind: str = ""
    recipient: str = ""
    text: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    message_id: str = ""
    fault: str = ""


class Refused(Exception):
    """Meta's refusal, in the shape that it answers with; code 0: without a body."""

    def __init__(
        self,
        message: str,
        code: int,
        subcode: int = 0,
        status: int = 400,
        is_transient: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})
        error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
        if subcode:
            error["error_subcode"] = subcode
        error["is_transient"] = is_transient
        error["fbtrace_id"] = "AFakeTraceId0123456789"
        self.content = orjson.dumps({"error": error}) if code else b""


def read_call(call: Call, authorization: str, content: bytes) -> None:
    """Fill in `call` from its path and body. Raises Refused for what Meta would not accept."""
    parts = call.path.strip("/").split("/")
    if len(parts) != 3 or parts[2] not in {"messages", "replies"}:
        raise Refused(f"Unknown path components: {call.path}", 2500)
    if not authorization.startswith("Bearer ") or len(authorization) < 8:
        raise Refused("Invalid OAuth access token - Cannot parse access token", 190, status=401)
    call.body = _json_object(content)
    if parts[2] == "replies":
        _read_public_reply(call, parts[1])
    else:
        _read_message(call, parts[1])


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused("(#100) The body must be a JSON object", 100)
    return body


def _read_public_reply(call: Call, comment_id: str) -> None:
    call.kind, call.recipient = "public_reply", comment_id
    call.text = _text(call.body.get("message"))


def _read_message(call: Call, account: str) -> None:
    call.account = account
    recipient = call.body.get("recipient")
    names = set(recipient) & {"id", "comment_id"} if isinstance(recipient, dict) else set()
    if len(names) != 1 or not isinstance(recipient, dict):
        raise Refused("(#100) The parameter recipient must have exactly one of id, comment_id", 100)
    name = names.pop()
    if not isinstance(recipient[name], str) or not recipient[name]:
        raise Refused(f"(#100) recipient.{name} must be a non-empty string", 100)
    call.kind, call.recipient = ("dm" if name == "id" else "private_reply"), recipient[name]
    if "sender_action" in call.body:
        if "message" in call.body:
            raise Refused("(#100) sender_action goes without a message", 100, 2018014)
        call.kind = "sender_action"
        return
    message = call.body.get("message")
    if not isinstance(message, dict):
        raise Refused("(#100) The parameter message is required", 100)
    call.text = _read_content(message)


def _read_content(message: dict[str, Any]) -> str:
    quick_replies = message.get("quick_replies", [])
    if not isinstance(quick_replies, list) or len(quick_replies) > MAX_QUICK_REPLIES:
        raise Refused(f"(#100) quick_replies must be a list of at most {MAX_QUICK_REPLIES}", 100, 2534015)
    for quick_reply in quick_replies:
        _check_title(quick_reply)
    if "text" in message:
        return _text(message["text"])
    attachment = message.get("attachment") or message.get("attachments")
    if isinstance(attachment, dict) and attachment.get("type") == "template":
        return _read_template(attachment.get("payload"))
    if not attachment:
        raise Refused("(#100) The message is empty", 100, 2534015)
    return ""


def _read_template(payload: object) -> str:
    if not isinstance(payload, dict):
        raise Refused("(#100) The template has no payload", 100, 2534015)
    if payload.get("template_type") != "button":
        return ""
    buttons = payload.get("buttons")
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= MAX_BUTTONS:
        raise Refused(f"(#100) A button template has 1 to {MAX_BUTTONS} buttons", 100, 2534015)
    for button in buttons:
        _check_title(button)
    text = _text(payload.get("text"))
    if len(text) > MAX_BUTTON_TEMPLATE_TEXT:
        raise Refused(
            f"(#100) A button template's text has at most {MAX_BUTTON_TEMPLATE_TEXT} characters", 100, 2534015
        )
    return text


def _check_title(button: object) -> None:
    title = button.get("title") if isinstance(button, dict) else None
    if not isinstance(title, str) or not 1 <= len(title) <= MAX_TITLE:
        raise Refused(f"(#100) A title has 1 to {MAX_TITLE} characters", 100, 2534015)


def _text(text: object) -> str:
    if not isinstance(text, str) or not text or len(text.encode()) > MAX_TEXT_BYTES:
        raise Refused(f"(#100) The text must have 1 to {MAX_TEXT_BYTES} bytes of UTF-8", 100, 2534015)
    return text
