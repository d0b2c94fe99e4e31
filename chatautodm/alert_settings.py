"""Whom alerts reach, and by which mail server."""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

from chatautodm.environment import boolean, env, shaped, words

SHORTEST_KEY = 12
MAIL_FORMS = "smtp://USER:PASSWORD@HOST:PORT, smtp+tls:// or smtp+ssl://"


def _mail(url: str) -> dict[str, Any]:
    """Django's settings for EMAIL_URL, or one clear error at start-up, without the value: it holds a password."""
    try:
        config: dict[str, Any] = env.email_url_config(url)
    except (ValueError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(
            f"EMAIL_URL must be {MAIL_FORMS}, percent-encoded; the default is smtp://localhost:25."
        ) from error
    if config["EMAIL_BACKEND"].endswith("smtp.EmailBackend") and not config["EMAIL_HOST"]:
        raise ImproperlyConfigured(f"EMAIL_URL names no host: it must be {MAIL_FORMS}.")
    return config


def _webhook() -> str:
    """ALERT_WEBHOOK_URL, or one clear error at start-up, without the value: who knows it can post there."""
    url = os.environ.get("ALERT_WEBHOOK_URL", "").strip()
    allowed = ("https://", "http://") if boolean("DEBUG", default=False) else ("https://",)
    if url and not (url.startswith(allowed) and urlsplit(url).hostname):
        raise ImproperlyConfigured("ALERT_WEBHOOK_URL must be https://HOST/…; leave it unset to tell nobody by it.")
    return url


def _emails() -> list[str]:
    found = words("ALERT_EMAILS")
    if any("@" not in address.strip("@") or " " in address for address in found):
        raise ImproperlyConfigured(f"ALERT_EMAILS={','.join(found)!r} must be addresses, comma-separated.")
    return found


def _secrets(url: str, mail_url: str) -> list[str]:
    """What must never be written: the webhook's address, whose long words are its key, and the mail server's password.

    Short ones (`services`, `hooks`) are ordinary words.
    """
    parts = urlsplit(url)
    password = urlsplit(mail_url).password or ""
    keys = [word for word in re.split(r"[/?&=]", f"{parts.path}?{parts.query}") if len(word) >= SHORTEST_KEY]
    return [url, *keys, password, unquote(password)]


ALERT_EMAILS = _emails()
ALERT_WEBHOOK_URL = _webhook()

# Where the console is, for links in alerts.
CONSOLE_URL = shaped(
    "CONSOLE_URL", "", r"(https?://[^\s/]+)?/?", "the console's address without a path, such as https://dm.example.com"
).rstrip("/")

_EMAIL_URL = os.environ.get("EMAIL_URL", "").strip() or "smtp://localhost:25"
_MAIL = _mail(_EMAIL_URL)

DEFAULT_FROM_EMAIL = os.environ.get("ALERT_FROM", "").strip() or "chatautodm@localhost"
EMAIL_BACKEND: str = _MAIL["EMAIL_BACKEND"]
EMAIL_FILE_PATH: str | None = _MAIL["EMAIL_FILE_PATH"] or None
EMAIL_HOST: str = _MAIL["EMAIL_HOST"] or "localhost"
EMAIL_HOST_USER: str = _MAIL["EMAIL_HOST_USER"] or ""
EMAIL_HOST_PASSWORD: str = _MAIL["EMAIL_HOST_PASSWORD"] or ""
EMAIL_USE_TLS: bool = _MAIL.get("EMAIL_USE_TLS", False)
EMAIL_USE_SSL: bool = _MAIL.get("EMAIL_USE_SSL", False)
EMAIL_PORT: int = _MAIL["EMAIL_PORT"] or (465 if EMAIL_USE_SSL else 587 if EMAIL_USE_TLS else 25)
EMAIL_TIMEOUT = 5

ALERT_SECRETS = _secrets(ALERT_WEBHOOK_URL, _EMAIL_URL)
