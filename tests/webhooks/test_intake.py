from __future__ import annotations

import pytest
from pytest_django import Settings

from automations.events import Message, echo_from_payload, from_payload, words_key
from queueops.jobs import Lane
from tests.servers import APP_SECRET
from tests.webhooks.bodies import ACCOUNT, AT_MS, PERSON, body, comment, entry, message, payload
from webhooks import intake
from webhooks.signature import sign


def test_each_event_becomes_a_job_in_its_lane():
    batch = intake.read(body(entry(messaging=[message(text="LINK")], changes=[comment()])))
    first, second = batch.jobs
    event = Message(account=ACCOUNT, person=PERSON, source_id="m_1", at_ms=AT_MS, text="LINK")
    assert (first.id, first.lane, first.tenant) == (event.key, Lane.HIGH, ACCOUNT)
    assert first.func == "automations.tasks.process_event"
    assert from_payload(first.payload) == event
    assert second.lane == Lane.LOW
    assert batch.ignored == {}
    assert batch.kept == ()


def test_duplicates_in_one_body_stay_separate_jobs_with_one_identity():
    ids = [job.id for job in intake.read(payload("batch_duplicates.json")).jobs]
    assert len(ids) == 4
    assert len(set(ids)) == 2


def test_a_redelivery_with_another_entry_time_has_the_same_identity():
    [again] = intake.read(payload("batch_redelivery_same_mid_new_entry_time.json")).jobs
    assert again.id in {job.id for job in intake.read(payload("batch_mixed.json")).jobs}


def test_notices_are_counted_by_name_and_not_kept():
    batch = intake.read(payload("batch_mixed.json"))
    assert batch.ignored == {"read": 1, "echo": 1, "reaction": 1, "standby": 1}
    assert batch.kept == ()


def test_an_echo_is_counted_and_handed_on_for_whoever_awaits_it():
    batch = intake.read(payload("dm_echo.json"))
    assert (batch.jobs, batch.ignored) == ((), {"echo": 1})
    [heard] = batch.heard
    assert (heard.name, heard.job.func) == ("echo", "automations.tasks.settle_by_echo")
    assert echo_from_payload(heard.job.payload).key == heard.job.id
    assert heard.key == f"echo:{words_key(ACCOUNT, PERSON, 'Here is your link: https://example.com/x ')}"


def test_what_nobody_can_read_is_counted_and_kept():
    batch = intake.read(payload("batch_one_bad_among_good.json"))
    assert len(batch.jobs) == 2
    assert batch.ignored == {"unknown": 2}
    assert batch.kept[1] == ("messaging: not an object", b'"garbage"')


def test_an_unusable_body_is_counted_and_kept_as_it_came():
    batch = intake.read(payload("truncated.txt"))
    assert batch.jobs == ()
    assert batch.ignored == {"unusable": 1}
    [(reason, raw)] = batch.kept
    assert reason.startswith("not JSON: ")
    assert raw == payload("truncated.txt")


def test_of_a_flood_of_unreadable_parts_all_are_counted_and_examples_kept():
    batch = intake.read(body(*range(5000)))
    assert batch.ignored == {"unknown": 5000}
    assert len(batch.kept) == 100


def test_a_signed_body_is_admitted():
    signed = payload("dm_quick_reply.json")
    assert intake.admit(signed, sign(signed, APP_SECRET).encode()) == intake.read(signed)


@pytest.mark.parametrize("signature", [None, b"sha256=00", sign(b"{}", "somebody else").encode()])
def test_an_unsigned_body_is_refused_before_it_is_parsed(signature: bytes | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intake, "read", lambda body: pytest.fail("it was parsed"))
    with pytest.raises(intake.Unsigned):
        intake.admit(b"{}", signature)


def test_the_secrets_are_read_when_they_are_needed(settings: Settings):
    settings.INSTAGRAM_APP_SECRET = ["new one"]
    assert intake.admit(b"{}", sign(b"{}", "new one").encode()).ignored == {"unusable": 1}


def is_taken(declared: bytes | None, received: int) -> bool:
    try:
        intake.check_size(declared, received)
    except intake.TooLarge:
        return False
    return True


@pytest.mark.parametrize(
    ("declared", "received"),
    [
        (None, 0),
        (None, 100),
        (b"100", 0),
        (b"", 0),
        (b"0", 0),
        (b"000", 0),
        (b"many", 0),
        (b"-5", 0),
        ("٥".encode(), 0),
    ],
)
def test_a_size_within_the_cap_passes(declared: bytes | None, received: int, settings: Settings):
    settings.WEBHOOK_MAX_BODY_BYTES = 100
    assert is_taken(declared, received)


@pytest.mark.parametrize(("declared", "received"), [(None, 101), (b"101", 0), (b"00101", 0), (b"9" * 5000, 0)])
def test_a_size_beyond_the_cap_does_not(declared: bytes | None, received: int, settings: Settings):
    settings.WEBHOOK_MAX_BODY_BYTES = 100
    assert not is_taken(declared, received)
