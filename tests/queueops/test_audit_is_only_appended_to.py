"""The database refuses to change or remove what stands in the audit log, whoever asks and however."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, connection, transaction

from queueops import audit
from queueops.audit import COMMAND, Act, By

pytestmark = pytest.mark.django_db

CHANGES = (
    "UPDATE queueops_auditentry SET who = 'tom' WHERE number = 1",
    "DELETE FROM queueops_auditentry WHERE number = 1",
    "UPDATE queueops_audittarget SET key = 'b'",
    "DELETE FROM queueops_audittarget",
)


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_changed_or_removed(change):
    audit.record(Act(by=By(None, COMMAND), action="retry", kind="x.y", targets=[("a", "name of a")]))

    with pytest.raises(DatabaseError, match="only appended to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(change)

    assert audit.verify().entries == 2
    assert audit.verify().broken_at is None
