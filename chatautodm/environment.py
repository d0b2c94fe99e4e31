"""How the environment's variables are read: each with one clear error at start-up that names form and fix."""

from __future__ import annotations

import os
import re
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent

environ.Env.read_env(BASE_DIR / ".env")
env = environ.Env()


def integer(name: str, default: int, at_least: int = 0, at_most: int | None = None) -> int:
    """The variable as a whole number, or one clear error at start-up."""
    text = os.environ.get(name, "").strip() or str(default)
    if not text.removeprefix("-").isdecimal() or int(text) < at_least or (at_most is not None and int(text) > at_most):
        most = "" if at_most is None else f" and at most {at_most}"
        raise ImproperlyConfigured(
            f"{name}={text!r} must be a whole number of at least {at_least}{most}; the default is {default}."
        )
    return int(text)


def boolean(name: str, default: bool) -> bool:
    """The variable as true or false, or one clear error at start-up."""
    text = os.environ.get(name, "").strip().lower() or str(default).lower()
    if text not in {"true", "false", "1", "0", "on", "off", "yes", "no"}:
        raise ImproperlyConfigured(f"{name}={text!r} must be true or false; the default is {str(default).lower()}.")
    return text in {"true", "1", "on", "yes"}


def words(name: str, default: str = "") -> list[str]:
    """The variable as a comma-separated list without empty entries."""
    return [word.strip() for word in os.environ.get(name, default).split(",") if word.strip()]


def shaped(name: str, default: str, pattern: str, form: str) -> str:
    """The variable as a text of this pattern, or one clear error at start-up that describes the form."""
    text = os.environ.get(name, "").strip() or default
    if not re.fullmatch(pattern, text):
        raise ImproperlyConfigured(f"{name}={text!r} must be {form}; the default is {default}.")
    return text
