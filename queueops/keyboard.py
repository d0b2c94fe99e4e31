"""Single keys from the terminal, without Enter."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator

LONGEST_SEQUENCE = 8
NAMES = {
    **{"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left"},
    **{"\t": "right", "\x1b[Z": "left", "\x03": "q", "\x04": "q"},
}

Wait = Callable[[float], str]


@contextlib.contextmanager
def keys() -> Iterator[Wait]:
    """A function that waits at most so many seconds for a key: its name or character, "" when none came.

    The terminal's settings are as before afterwards. Where stdin is no terminal the function only waits.
    """
    if not sys.stdin.isatty():
        yield _only_wait
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)
    try:
        yield lambda seconds: _key(fd, seconds)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _only_wait(seconds: float) -> str:
    select.select([], [], [], seconds)
    return ""


def _key(fd: int, seconds: float) -> str:
    if not select.select([fd], [], [], seconds)[0]:
        return ""
    pressed = os.read(fd, LONGEST_SEQUENCE)
    if not pressed:  # the terminal is gone
        return "q"
    text = pressed.decode(errors="replace")
    return NAMES.get(text, text[:1])
