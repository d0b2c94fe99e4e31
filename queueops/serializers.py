"""The API's shapes, as its schema states them, and the filters that dead letters are found by."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from rest_framework import serializers

from queueops.audit import REASON_CHARACTERS
from queueops.jobs import Lane
from queueops.models import DeadLetter, DeadLetterQuerySet


def _count() -> serializers.IntegerField:
    return serializers.IntegerField(allow_null=True, help_text="null: not known, Redis cannot be reached.")


def _number(help_text: str = "") -> serializers.FloatField:
    return serializers.FloatField(allow_null=True, help_text=help_text)


class LaneSerializer(serializers.Serializer[Any]):
    waiting = _count()
    active = _count()
    retrying = _count()
    dead = _count()
    oldest_waiting_seconds = _number("0 when nothing waits.")
    paused = serializers.BooleanField(allow_null=True)


class LanesSerializer(serializers.Serializer[Any]):
    high = LaneSerializer()
    default = LaneSerializer()
    low = LaneSerializer()


class TotalsSerializer(serializers.Serializer[Any]):
    pending = _count()
    processing = _count()
    completed = _count()
    failed = _count()


class LedgerSerializer(serializers.Serializer[Any]):
    received = _count()
    duplicate = _count()
    ignored = _count()
    waiting = _count()
    active = _count()
    retrying = _count()
    fallback = _count()
    completed = _count()
    dead = _count()
    discarded = _count()
    unexplained = _count()


class RateSerializer(serializers.Serializer[Any]):
    per_minute = _number("Completed in the last 60 seconds.")
    per_hour = _number("Completed in the last 60 minutes.")


class PercentilesSerializer(serializers.Serializer[Any]):
    p50 = _number()
    p95 = _number()
    p99 = _number()


class LatencySerializer(serializers.Serializer[Any]):
    ack = PercentilesSerializer(help_text="From the webhook's last byte to our 200, last 60 minutes.")
    wait = PercentilesSerializer(help_text="From the webhook to the start of its job.")
    process = PercentilesSerializer(help_text="The job itself.")


class WorkerSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    state = serializers.CharField(help_text="RQ's: idle, busy, suspended …; or `silent`, `no database`.")
    queues = serializers.ListField(child=serializers.CharField())
    in_flight = serializers.IntegerField()
    concurrency = serializers.IntegerField()
    heartbeat_age_seconds = serializers.FloatField()


class CacheSerializer(serializers.Serializer[Any]):
    hits = _count()
    misses = _count()
    hit_rate = _number("0 to 1, last 60 minutes; 0 when nothing was looked up.")


class RedisSerializer(serializers.Serializer[Any]):
    connected = serializers.BooleanField()
    used_memory_bytes = _count()
    durability = serializers.CharField(help_text="always, everysec, no, off, or unknown.")


class SnapshotSerializer(serializers.Serializer[Any]):
    """`queueops.stats.snapshot()`."""

    mode = serializers.CharField(help_text="queue or direct.")
    queues = LanesSerializer()
    totals = TotalsSerializer()
    ledger = LedgerSerializer()
    deferred = _count()
    processing_rate = RateSerializer()
    latency_ms = LatencySerializer()
    drain_eta_seconds = _number("null when something waits and nothing was completed in the last minute.")
    workers = WorkerSerializer(many=True)
    cache = CacheSerializer()
    redis = RedisSerializer()


class CauseSerializer(serializers.Serializer[DeadLetter]):
    code = serializers.IntegerField(source="cause_code")
    subcode = serializers.IntegerField(source="cause_subcode")
    title = serializers.CharField(source="cause_title")
    verdict = serializers.CharField(source="cause_verdict")


class DeadLetterSerializer(serializers.Serializer[DeadLetter]):
    id = serializers.UUIDField()
    event = serializers.CharField(help_text="The event's key.")
    lane = serializers.CharField()
    kind = serializers.CharField()
    account = serializers.CharField()
    person = serializers.CharField()
    source_id = serializers.CharField(help_text="Meta's message or comment id.")
    cause = CauseSerializer(source="*")
    error = serializers.CharField()
    attempts = serializers.IntegerField()
    status = serializers.CharField()
    created_at = serializers.DateTimeField()


class DeadLetterPageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the next page.")
    results = DeadLetterSerializer(many=True)


class RetriedSerializer(serializers.Serializer[Any]):
    retried = serializers.IntegerField(help_text="How many went back into their lanes.")


class RetriedManySerializer(RetriedSerializer):
    remaining = serializers.IntegerField(help_text="How many still match; call again to retry the next of them.")


class ReasonSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(
        required=False, allow_blank=True, max_length=REASON_CHARACTERS, help_text="Why, for the audit log."
    )

    @property
    def why(self) -> str:
        return str(self.validated_data.get("reason", ""))


class DeadLetterFilters(serializers.Serializer[Any]):
    """Which dead letters: all that match every filter given. An unknown name is refused, for a misspelt filter
    would otherwise mean "all"."""

    lane = serializers.ChoiceField(choices=[lane.value for lane in Lane], required=False)
    kind = serializers.CharField(required=False, help_text="message, comment …")
    account = serializers.CharField(required=False, help_text="Instagram user id.")
    cause = serializers.CharField(required=False, help_text="Meta's code, our verdict, or a part of the title.")
    q = serializers.CharField(required=False, help_text="In the account, person, source id, event key or error.")
    since = serializers.DateTimeField(required=False, help_text="ISO 8601; given up then or later.")
    status = serializers.ChoiceField(choices=DeadLetter.Status.values, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = set(self.initial_data) - set(self.fields)
        if unknown:
            complaint = f"There is no such filter; there are {', '.join(self.fields)}."
            raise serializers.ValidationError({name: [complaint] for name in unknown})
        return attrs

    def apply(self, letters: DeadLetterQuerySet) -> DeadLetterQuerySet:
        """The letters that the validated filters leave."""
        filters = {name: value for name, value in self.validated_data.items() if name != "reason"}
        condition = Q()
        if (cause := filters.pop("cause", None)) is not None:
            condition &= _by_cause(cause)
        if (text := filters.pop("q", None)) is not None:
            condition &= _by_text(text)
        if (since := filters.pop("since", None)) is not None:
            condition &= Q(created_at__gte=since)
        return letters.filter(condition, **filters)


class RetryFilters(ReasonSerializer, DeadLetterFilters):
    """Which dead letters to retry, and why."""

    def as_given(self) -> dict[str, str]:
        """The filters as texts, for the audit log."""
        return {name: str(value) for name, value in self.validated_data.items() if name != "reason"}


def _by_cause(cause: str) -> Q:
    # Nine digits always fit the column; a longer number is no code of Meta's.
    if cause.isascii() and cause.isdecimal() and len(cause) <= 9:
        return Q(cause_code=int(cause))
    return Q(cause_verdict=cause) | Q(cause_title__icontains=cause)


def _by_text(text: str) -> Q:
    exactly = Q(account=text) | Q(person=text) | Q(event=text) | Q(source_id=text)
    return exactly | Q(source_id__icontains=text) | Q(error__icontains=text)
