"""A process that looks up as a worker does: `python -m tests.automations.cache_process`, a question a line.

`account ID` answers the username; `rule ID TRIGGER TEXT` the name of the rule that answers. Both "-" for nothing.
"""

from __future__ import annotations

import asyncio
import sys

import django

django.setup()

from automations.cache import cache  # noqa: E402
from automations.matching import Subject  # noqa: E402


async def answer(what: str, instagram_id: str, trigger: str = "", text: str = "") -> str:
    account = await cache().account(instagram_id)
    if account is None or what == "account":
        return account.username if account else ""
    rule = (await cache().rules(account, trigger)).decide(Subject(text=text)).rule
    return rule.name if rule else ""


async def main() -> None:
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        sys.stdout.write(f"{await answer(*line) or '-'}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
