"""What the database tier holds and counts while Redis takes nothing (`queueops.fallback`)."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.utils import timezone

from queueops.jobs import Lane
from queueops.keys import new_id

LANES = [(lane.value, lane.value.capitalize()) for lane in Lane]


class FallbackJobQuerySet(models.QuerySet["FallbackJob"]):
    def free(self, now: datetime) -> FallbackJobQuerySet:
        """Those that no worker holds and nobody is moving into Redis."""
        unheld = models.Q(lease_until__isnull=True) | models.Q(lease_until__lt=now)
        return self.filter(unheld, moving=False)

    def claimable(self, now: datetime) -> FallbackJobQuerySet:
        """Those that a worker may run now."""
        return self.free(now).filter(error="", run_after__lte=now)


class FallbackJob(models.Model):
    """One job that Redis could not take. Its key grows with time and gives the order within its lane.

    It leaves by being finished, or by being moved into Redis; one that was given up (`error`) waits for the move, so
    that operators find it where all dead jobs are.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    job = models.CharField("job id", max_length=64, unique=True, help_text="The event's key.")
    lane = models.CharField(max_length=16, choices=LANES)
    tenant = models.CharField(max_length=64, blank=True)
    func = models.CharField("function", max_length=200)
    data = models.BinaryField(help_text="Function and arguments, byte for byte what Redis would hold.")
    attempts = models.PositiveIntegerField(default=0)
    run_after = models.DateTimeField(default=timezone.now)
    error = models.CharField(max_length=500, blank=True, help_text="Why it was given up.")
    lease_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=64, blank=True, help_text="The claim that holds it.")
    moving = models.BooleanField(default=False, help_text="Redis may hold it already: no worker may run it from here.")
    created_at = models.DateTimeField(default=timezone.now)

    objects = FallbackJobQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["lane", "id"], name="fallback_order")]

    def __str__(self) -> str:
        return f"{self.func} {self.job}"


class FallbackCount(models.Model):
    """The ledger's counts of what was taken and finished outside Redis. `ignored:<name>` is one kind of `ignored`."""

    name = models.CharField(primary_key=True, max_length=100)
    n = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.name}: {self.n}"


class FallbackKept(models.Model):
    """What nobody could use, until it can be shown with the rest: `raw` is compressed (zlib)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    reason = models.CharField(max_length=200)
    raw = models.BinaryField()
    at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return self.reason
