"""Actions as account owners write them: JSON, read into frozen values, or refused with the reason.

Everything is refused here that could never be sent. What depends on the values of variables is checked when it is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

from automations.actions import (
    MAX_BUTTONS,
    MAX_COMMENT_CHARACTERS,
    MAX_DM_CHARACTERS,
    MAX_QUICK_REPLIES,
    MAX_TEMPLATE_CHARACTERS,
    MAX_TEXT_BYTES,
    MAX_TITLE_CHARACTERS,
    Action,
    ActionError,
    Button,
    DirectMessage,
    PostbackButton,
    PrivateReply,
    PublicReply,
    QuickReply,
    UrlButton,
)
from automations.placeholders import TemplateError, check_template, without_placeholders
from automations.texts import cut, storable

T = TypeVar("T")

JsonObject = Mapping[str, object]


def parse_action(value: object) -> Action:
    """The action that a JSON value describes. Raises ActionError.

    {"type": "dm", "text": …} with "quick_replies": [{"title", "payload"}] or "buttons": [{"type": "web_url", "title",
    "url"} or {"type": "postback", "title", "payload"}]; {"type": "private_reply", "text": …} with or without buttons;
    {"type": "public_reply", "texts": […]} or "text". Texts and URLs may hold the variables of `placeholders`.
    """
    fields = _object(value, "an action")
    return _choice(fields, _ACTIONS, "")(fields)


def _direct_message(fields: JsonObject) -> DirectMessage:
    _refuse_unknown(fields, ("type", "text", "quick_replies", "buttons"), "")
    text = _template(fields, "text", "")
    quick_replies = _list(fields, "quick_replies", MAX_QUICK_REPLIES, _quick_reply)
    buttons = _list(fields, "buttons", MAX_BUTTONS, _button)
    if quick_replies and buttons:
        raise ActionError("quick_replies and buttons cannot go into one message; make them two actions")
    _check_characters(text, MAX_TEMPLATE_CHARACTERS if buttons else MAX_DM_CHARACTERS, _beside(buttons))
    return DirectMessage(text=text, quick_replies=tuple(quick_replies), buttons=tuple(buttons))


def _private_reply(fields: JsonObject) -> PrivateReply:
    _refuse_unknown(fields, ("type", "text", "buttons"), "")
    text = _template(fields, "text", "")
    buttons = _list(fields, "buttons", MAX_BUTTONS, _button)
    size = len(without_placeholders(text).encode())
    if size > MAX_TEXT_BYTES:
        raise ActionError(f"text has {size} bytes in UTF-8; a private reply is one message of at most {MAX_TEXT_BYTES}")
    if buttons:
        _check_characters(text, MAX_TEMPLATE_CHARACTERS, _beside(buttons))
    return PrivateReply(text=text, buttons=tuple(buttons))


def _public_reply(fields: JsonObject) -> PublicReply:
    _refuse_unknown(fields, ("type", "text", "texts"), "")
    if "text" in fields and "texts" in fields:
        raise ActionError("give either text, or texts with several variants, not both")
    variants = fields["texts"] if "texts" in fields else [fields.get("text")]
    if not isinstance(variants, list) or not variants:
        raise ActionError("texts must be a list with at least one text")
    texts = tuple(_template({"text": variant}, "text", "") for variant in variants)
    for text in texts:
        _check_characters(text, MAX_COMMENT_CHARACTERS, "a comment takes")
    return PublicReply(texts=texts)


def _quick_reply(value: object, where: str) -> QuickReply:
    fields = _object(value, where.rstrip(": "))
    _refuse_unknown(fields, ("title", "payload"), where)
    return QuickReply(_title(fields, where), _string(fields, "payload", where))


def _button(value: object, where: str) -> Button:
    fields = _object(value, where.rstrip(": "))
    return _choice(fields, _BUTTONS, where)(fields, where)


def _url_button(fields: JsonObject, where: str) -> UrlButton:
    _refuse_unknown(fields, ("type", "title", "url"), where)
    return UrlButton(_title(fields, where), _url(fields, where))


def _postback_button(fields: JsonObject, where: str) -> PostbackButton:
    _refuse_unknown(fields, ("type", "title", "payload"), where)
    return PostbackButton(_title(fields, where), _string(fields, "payload", where))


_ACTIONS: dict[str, Callable[[JsonObject], Action]] = {
    "dm": _direct_message,
    "private_reply": _private_reply,
    "public_reply": _public_reply,
}
_BUTTONS: dict[str, Callable[[JsonObject, str], Button]] = {"web_url": _url_button, "postback": _postback_button}


def _object(value: object, what: str) -> JsonObject:
    if not isinstance(value, dict):
        raise ActionError(f'{what} must be an object, such as {{"type": …}}, not {_quoted(value)}')
    return value


def _choice(fields: JsonObject, choices: Mapping[str, T], where: str) -> T:
    kind = fields.get("type")
    if not isinstance(kind, str) or kind not in choices:
        raise ActionError(f"{where}type must be one of {', '.join(choices)}, not {_quoted(kind)}")
    return choices[kind]


def _refuse_unknown(fields: JsonObject, known: tuple[str, ...], where: str) -> None:
    unknown = [key for key in fields if key not in known]
    if unknown:
        raise ActionError(f"{where}{_quoted(unknown[0])} is not known here; the fields are {', '.join(known)}")


def _list(fields: JsonObject, key: str, most: int, parse: Callable[[object, str], T]) -> list[T]:
    if key not in fields:
        return []
    values = fields[key]
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise ActionError(f"{key} must be a list of 1 to {most}; leave it out when there are none")
    return [parse(value, f"{key} {number}: ") for number, value in enumerate(values, start=1)]


def _string(fields: JsonObject, key: str, where: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ActionError(f"{where}{key} must be a text that is not empty")
    if storable(value) != value:
        raise ActionError(f"{where}{key} holds a NUL or half a character, which cannot be sent; write it anew")
    return value


def _template(fields: JsonObject, key: str, where: str) -> str:
    template = _string(fields, key, where)
    try:
        check_template(template)
    except TemplateError as error:
        raise ActionError(f"{where}{key}: {error}") from error
    return template


def _title(fields: JsonObject, where: str) -> str:
    title = _string(fields, "title", where)
    if len(title) > MAX_TITLE_CHARACTERS:
        raise ActionError(f"{where}title has {len(title)} characters; Instagram shows at most {MAX_TITLE_CHARACTERS}")
    if "{{" in title:
        raise ActionError(f"{where}title cannot hold variables: filled in, it might be longer than Instagram shows")
    return title


def _url(fields: JsonObject, where: str) -> str:
    url = _template(fields, "url", where)
    literal = without_placeholders(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ActionError(f"{where}url is no address: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or not literal.isprintable() or " " in literal:
        raise ActionError(f"{where}url must be a whole address that begins with https:// or http://, without spaces")
    if "{{" in parts.netloc:
        raise ActionError(f"{where}url: variables may stand only behind the host, after a /")
    return url


def _check_characters(template: str, most: int, who_takes: str) -> None:
    length = len(without_placeholders(template))
    if length > most:
        raise ActionError(f"text has {length} characters; {who_takes} at most {most}")


def _beside(buttons: list[Button]) -> str:
    return "beside buttons Instagram takes" if buttons else "a message takes"


def _quoted(value: object) -> str:
    return storable(cut(repr(value), 40))
