"""Python's cycle collector, set for a server: it looks at what lives for long far less often.

As it comes it looks after every 700 new objects; with 200 jobs in flight that was a sixth of a worker's processor time
(docs/adr/0016-overlap-and-sweep.md). Nearly all of our objects are freed by their reference counts.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 20_000
YOUNG_ROUNDS, MIDDLE_ROUNDS = 50, 100


def collect_rarely() -> None:
    """Call it once everything is imported: what is alive then is never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, YOUNG_ROUNDS, MIDDLE_ROUNDS)
