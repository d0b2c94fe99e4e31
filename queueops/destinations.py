"""Where alerts go: by e-mail to ALERT_EMAILS, and as a webhook in Slack's form to ALERT_WEBHOOK_URL."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson
from django.conf import settings
from django.core.mail import EmailMessage

from queueops import scrubbing
from queueops.alert_messages import Message

SEND_SECONDS = 5.0
# Of what a receiver says to a refusal: enough to know it by.
ANSWER_BYTES = 200


class Undelivered(Exception):
    """The destination did not take it; the message says why, without its address."""


Send = Callable[[Message], str]


def configured() -> dict[str, Send]:
    """Those that the environment names, by name. Each answers what came back, or raises Undelivered."""
    found: dict[str, Send] = {}
    if settings.ALERT_EMAILS:
        found["email"] = by_email
    if settings.ALERT_WEBHOOK_URL:
        found["webhook"] = by_webhook
    return found


def by_email(message: Message) -> str:
    """To all of ALERT_EMAILS at once, by EMAIL_URL's server. Raises Undelivered."""
    title = " ".join(message.title.split())[:200]
    mail = EmailMessage(scrubbing.scrub(title), message.text, settings.DEFAULT_FROM_EMAIL, settings.ALERT_EMAILS)
    try:
        mail.send()
    except (smtplib.SMTPException, OSError) as error:
        raise Undelivered(_said(error)) from error
    return f"taken for {len(settings.ALERT_EMAILS)} address{'' if len(settings.ALERT_EMAILS) == 1 else 'es'}"


def by_webhook(message: Message) -> str:
    """One POST, answered within SEND_SECONDS. Raises Undelivered."""
    body = {"text": _escaped(f"*{message.title}*\n{message.text}"), "attachments": _escaped(message.attachments)}
    # Imported here, for it takes a tenth of the time in which a process starts, and hardly any ever sends.
    import aiohttp  # noqa: PLC0415

    try:
        return asyncio.run(_post(aiohttp, settings.ALERT_WEBHOOK_URL, orjson.dumps(body)))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Undelivered(_said(error)) from error


async def _post(aiohttp: ModuleType, url: str, body: bytes) -> str:
    timeout = aiohttp.ClientTimeout(total=SEND_SECONDS)
    headers = {"Content-Type": "application/json"}
    # A redirect would take what is wrong here to somebody else.
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(url, data=body, headers=headers, allow_redirects=False) as answer,
    ):
        said = (await answer.content.read(ANSWER_BYTES)).decode(errors="replace")
        if not 200 <= answer.status < 300:
            raise Undelivered(scrubbing.scrub(f"HTTP {answer.status} {said}".strip()))
        return f"HTTP {answer.status}"


def _escaped(value: Any) -> Any:
    """As Slack asks, so that nothing in a text is taken for a link or a call to everybody."""
    if isinstance(value, str):
        return value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, dict):
        return {name: _escaped(one) for name, one in value.items()}
    return [_escaped(one) for one in value] if isinstance(value, list) else value


def _said(error: Exception) -> str:
    """In one line, without passwords; aiohttp's own words repeat the address, which may be a secret itself."""
    first = (str(error).strip().splitlines() or [""])[0]
    return scrubbing.scrub(f"{type(error).__name__}: {first}" if first else type(error).__name__)
