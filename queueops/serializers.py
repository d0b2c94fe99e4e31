"""The API's shapes, as its schema states them, and the filters that dead letters are found by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.core.validators import RegexValidator
from django.db.models import Q
from drf_spectacular.extensions import OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction, extend_schema_field
from rest_framework import serializers

from queueops import bounded, privacy, searching, selections
from queueops.audit import REASON_CHARACTERS
from queueops.jobs import Lane
from queueops.keys import bounds_of, possible
from queueops.models import DeadLetter, DeadLetterQuerySet

ON_A_PAGE, MOST_ON_A_PAGE = 50, 500
# What a search knows by an index.
WHOLE = ("account__exact", "person__exact", "event__exact", "source_id__exact")
UNKNOWN_NAMED = 5
# The filters that are a column each, by how that is compared.
COLUMNS = {
    "lane": "lane",
    "kind": "kind",
    "account": "account",
    "automation": "automation",
    "status": "status",
    "attempts_from": "attempts__gte",
    "attempts_to": "attempts__lte",
}
OF_ATTEMPTS = frozenset({"attempts_from", "attempts_to"})
MOST_ATTEMPTS = 2_147_483_647  # the column's


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
    host = serializers.CharField(allow_blank=True)
    pid = serializers.IntegerField(allow_null=True)
    release = serializers.CharField(allow_blank=True, help_text="Ours; empty for RQ's stock workers.")
    memory_bytes = serializers.IntegerField(allow_null=True, help_text="As its last heartbeat said.")


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
    automation = serializers.CharField(help_text="Id of the automation it was at; empty before one was chosen.")
    automation_name = serializers.CharField(help_text="Its name at that time.")
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


class Text(serializers.CharField):
    """A text as it is written: a number is none. Without NUL, which PostgreSQL refuses to be asked for."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)
        self.validators.append(RegexValidator(r"^[^\x00]*$", "It may not hold the character NUL."))

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


def _choice(values: Sequence[str], help_text: str) -> serializers.ChoiceField:
    complaint: dict[str, Any] = {"invalid_choice": f"It must be one of {', '.join(values)}."}
    return serializers.ChoiceField(choices=values, required=False, error_messages=complaint, help_text=help_text)


def _attempts(help_text: str) -> serializers.IntegerField:
    return serializers.IntegerField(required=False, min_value=0, max_value=MOST_ATTEMPTS, help_text=help_text)


# Written out: of a text that may be empty the schema would say "either a text or an empty one", of which "" is both.
@extend_schema_field({"type": "string", "maxLength": REASON_CHARACTERS, "pattern": r"^[^\u0000]*$"})
class Reason(Text):
    """Why somebody does what they do."""


class ReasonSerializer(serializers.Serializer[Any]):
    reason = Reason(required=False, allow_blank=True, max_length=REASON_CHARACTERS, help_text="Why, for the audit log.")

    @property
    def why(self) -> str:
        return str(self.validated_data.get("reason", ""))


class DeadLetterFilters(serializers.Serializer[Any]):
    """Which dead letters: all that match every filter given. An unknown name is refused, for a misspelt filter
    would otherwise mean "all"."""

    lane = _choice([lane.value for lane in Lane], "The lane its job was in.")
    kind = Text(required=False, max_length=32, help_text="message, comment …")
    account = Text(required=False, max_length=64, help_text="Instagram user id of the account.")
    automation = Text(required=False, max_length=64, help_text="Id of the automation its job was at.")
    cause = Text(required=False, max_length=200, help_text="Meta's code, our verdict, or a part of the title.")
    q = Text(
        required=False,
        max_length=200,
        help_text="The whole account, person, event key, message or comment id; or a part of the id or of the error, "
        "which in a list is looked for among the newest only.",
    )
    attempts_from = _attempts("So many attempts, or more; in a list among the newest only.")
    attempts_to = _attempts("So many attempts, or fewer; in a list among the newest only.")
    since = serializers.DateTimeField(required=False, help_text="ISO 8601; given up then or later.")
    until = serializers.DateTimeField(required=False, help_text="ISO 8601; given up then or earlier.")
    status = _choice(DeadLetter.Status.values, "Without it all of them, also those that were taken up.")

    # Whether `q` is no whole id, and so is looked for in texts; known once it was applied.
    reads_texts = False

    # Of the same parameters, but no filters.
    besides: ClassVar[frozenset[str]] = frozenset({"reason", "cursor", "limit"})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = sorted(set(self.initial_data) - set(self.fields))[:UNKNOWN_NAMED]
        if unknown:
            complaint = f"There is no such filter; there are {', '.join(self.fields)}."
            raise serializers.ValidationError({name: [complaint] for name in unknown})
        return attrs

    @property
    def filters(self) -> dict[str, Any]:
        return {name: value for name, value in self.validated_data.items() if name not in self.besides}

    def apply(self, letters: DeadLetterQuerySet, user: Any) -> DeadLetterQuerySet:
        """The letters that the validated filters leave. user: who asks, and may find only what they are shown."""
        filters = self.filters
        condition = Q(**{lookup: filters[name] for name, lookup in COLUMNS.items() if name in filters})
        if (cause := filters.get("cause")) is not None:
            condition &= selections.by_cause(cause)
        if (text := filters.get("q")) is not None:
            known = searching.known_by(letters, WHOLE, text)
            self.reads_texts = known is None
            condition &= _by_text(text, user) if known is None else known
        return letters.filter(condition & _period(filters.get("since"), filters.get("until")))


class DeadLetterQuery(DeadLetterFilters):
    """Which dead letters to show, and which page of them."""

    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=MOST_ON_A_PAGE, help_text=f"Letters on a page; {ON_A_PAGE} without it."
    )
    cursor = Text(
        required=False,
        max_length=200,
        help_text="Which page: a part of the address under `next`, which is to be followed as it is.",
    )

    def apply(self, letters: DeadLetterQuerySet, user: Any) -> DeadLetterQuerySet:
        """As above; what no index knows is looked for among the newest only: docs/adr/0035-searching-a-million-rows.md.

        That is parts of texts, and numbers of attempts.
        """
        found = super().apply(letters, user)
        reads_titles = not selections.is_code(self.filters.get("cause", "0"))
        reads_rows = reads_titles or self.reads_texts or not self.filters.keys().isdisjoint(OF_ATTEMPTS)
        return found.filter(bounded.newest(letters)) if reads_rows else found


class RetryFilters(ReasonSerializer, DeadLetterFilters):
    """Which dead letters to retry, and why."""

    def as_given(self) -> dict[str, str]:
        """The filters as texts, for the audit log."""
        return {name: str(value) for name, value in self.filters.items()}


class OnlyKnownNames(OpenApiSerializerExtension):  # type: ignore[no-untyped-call] # it registers itself, untyped
    """The schema says it, too: a name that is not there is refused."""

    target_class = RetryFilters

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict[str, Any]:
        mapped: Any = auto_schema._map_serializer  # untyped
        schema: dict[str, Any] = mapped(self.target, direction, bypass_extensions=True)
        return {**schema, "additionalProperties": False}


def _by_text(text: str, user: Any) -> Q:
    return Q(source_id__icontains=text) | privacy.errors_with(user, text)


def _period(since: datetime | None, until: datetime | None) -> Q:
    """By the letters' time, and by their keys, which grow with it."""
    period = Q(**bounds_of(since, until))
    if since is not None:
        period &= Q(created_at__gte=possible(since))
    if until is not None:
        period &= Q(created_at__lte=possible(until))
    return period
