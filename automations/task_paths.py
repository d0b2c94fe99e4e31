"""Where a worker finds the tasks: by path, so that whoever hands jobs on need not import what they do."""

from __future__ import annotations

PROCESS_EVENT = "automations.tasks.process_event"
SETTLE_BY_ECHO = "automations.tasks.settle_by_echo"
