"""Every row of the error table, and the order in which it is read."""

from __future__ import annotations

import pytest

from automations.graph_errors import TABLE, Scope, Verdict, Who, rule_on

RETRY, WAIT, REJECT = Verdict.RETRY, Verdict.WAIT, Verdict.REJECT
PAUSE, OWNER, SENT = Verdict.PAUSE_ACCOUNT, Verdict.NEEDS_OWNER, Verdict.PROBABLY_SENT
CALL, ACCOUNT, APP = Scope.CALL, Scope.ACCOUNT, Scope.APP

# code, subcode, verdict, what it stops, who acts
ROWS = [
    (1, 0, RETRY, CALL, Who.META),
    (1, 99, RETRY, CALL, Who.OPERATOR),
    (1, 1357046, SENT, CALL, Who.NOBODY),
    (2, 0, RETRY, CALL, Who.META),
    (2, 1545133, RETRY, CALL, Who.META),
    (2, 2018344, REJECT, CALL, Who.OWNER),
    (3, 0, REJECT, CALL, Who.OPERATOR),
    (4, 0, WAIT, APP, Who.OPERATOR),
    (10, 0, REJECT, CALL, Who.OWNER),
    (10, 2534022, REJECT, CALL, Who.NOBODY),
    (10, 2018278, REJECT, CALL, Who.NOBODY),
    (10, 2018065, REJECT, CALL, Who.NOBODY),
    (10, 2018108, REJECT, CALL, Who.NOBODY),
    (10, 1893063, PAUSE, ACCOUNT, Who.OWNER),
    (10, 2534077, REJECT, CALL, Who.OWNER),
    (17, 0, WAIT, ACCOUNT, Who.NOBODY),
    (20, 1772107, SENT, CALL, Who.OPERATOR),
    (32, 0, WAIT, ACCOUNT, Who.NOBODY),
    (100, 0, REJECT, CALL, Who.OPERATOR),
    (100, 33, REJECT, CALL, Who.OPERATOR),
    (100, 2018001, REJECT, CALL, Who.NOBODY),
    (100, 2534014, REJECT, CALL, Who.NOBODY),
    (100, 2534013, REJECT, CALL, Who.OWNER),
    (100, 2534015, REJECT, CALL, Who.OPERATOR),
    (100, 2534025, SENT, CALL, Who.NOBODY),
    (100, 2534029, OWNER, ACCOUNT, Who.OWNER),
    (100, 2534037, REJECT, CALL, Who.OWNER),
    (100, 2018300, REJECT, CALL, Who.OWNER),
    (100, 2018008, RETRY, CALL, Who.OPERATOR),
    (100, 2018294, RETRY, CALL, Who.OPERATOR),
    (100, 2018047, REJECT, CALL, Who.OPERATOR),
    (100, 2018109, REJECT, CALL, Who.OPERATOR),
    (102, 0, OWNER, ACCOUNT, Who.OWNER),
    (190, 0, OWNER, ACCOUNT, Who.OWNER),
    (190, 458, OWNER, ACCOUNT, Who.OWNER),
    (190, 459, OWNER, ACCOUNT, Who.OWNER),
    (190, 460, OWNER, ACCOUNT, Who.OWNER),
    (190, 463, OWNER, ACCOUNT, Who.OWNER),
    (190, 464, OWNER, ACCOUNT, Who.OWNER),
    (190, 467, OWNER, ACCOUNT, Who.OWNER),
    (190, 492, OWNER, ACCOUNT, Who.OWNER),
    (200, 0, REJECT, CALL, Who.OPERATOR),
    (200, 2018028, REJECT, CALL, Who.OPERATOR),
    (200, 2534041, OWNER, ACCOUNT, Who.OWNER),
    (200, 1545041, REJECT, CALL, Who.NOBODY),
    (230, 0, REJECT, CALL, Who.NOBODY),
    (299, 0, REJECT, CALL, Who.OPERATOR),
    (341, 0, RETRY, CALL, Who.META),
    (368, 0, WAIT, ACCOUNT, Who.OWNER),
    (506, 0, REJECT, CALL, Who.OPERATOR),
    (551, 0, REJECT, CALL, Who.NOBODY),
    (551, 1545041, REJECT, CALL, Who.NOBODY),
    (613, 0, WAIT, ACCOUNT, Who.NOBODY),
    (613, 2534040, WAIT, ACCOUNT, Who.NOBODY),
    (613, 1996, WAIT, ACCOUNT, Who.OPERATOR),
    (613, 1893016, REJECT, CALL, Who.OPERATOR),
    (613, 2018338, REJECT, CALL, Who.OPERATOR),
    (2022, 0, REJECT, CALL, Who.OWNER),
    (36103, 0, REJECT, CALL, Who.OWNER),
    (80001, 0, WAIT, ACCOUNT, Who.NOBODY),
    (80002, 0, WAIT, ACCOUNT, Who.NOBODY),
    (80006, 0, WAIT, ACCOUNT, Who.NOBODY),
    (9000001, 0, REJECT, CALL, Who.NOBODY),
    # An archived conversation: seen under different main codes.
    (0, 2534001, REJECT, CALL, Who.NOBODY),
    (100, 2534001, REJECT, CALL, Who.NOBODY),
]


@pytest.mark.parametrize(("code", "subcode", "verdict", "scope", "who"), ROWS)
def test_each_error_gets_its_ruling(code, subcode, verdict, scope, who):
    ruling = rule_on(400, {"code": code, "error_subcode": subcode, "is_transient": False}, private_reply=False)

    assert (ruling.verdict, ruling.scope, ruling.who) == (verdict, scope, who)
    assert (ruling.wait_seconds is not None) == (verdict in {WAIT, PAUSE})


def test_every_row_of_the_code_is_in_the_table_above():
    assert {(code, subcode or 0) for code, subcode in TABLE} <= {(row[0], row[1]) for row in ROWS}


def test_the_expired_token_is_named_as_the_contract_names_it():
    assert rule_on(400, {"code": 190, "error_subcode": 463}, private_reply=False).title == (
        "The account's access token has expired"
    )


@pytest.mark.parametrize(
    ("error", "private_reply", "verdict"),
    [
        ({"code": 100, "is_transient": True}, False, RETRY),
        ({"code": 190, "error_subcode": 463, "is_transient": True}, False, RETRY),
        ({"code": 987654, "is_transient": True}, False, RETRY),
        ({"is_transient": True}, True, RETRY),
        # Meta itself refuses a second private reply to one comment, so its "try again" may be followed.
        ({"code": 2, "is_transient": True}, True, RETRY),
        # A limit is waited for, and what may have been sent stays so.
        ({"code": 4, "is_transient": True}, False, WAIT),
        ({"code": 100, "error_subcode": 2534025, "is_transient": True}, True, SENT),
        # Only the JSON value true counts.
        ({"code": 100, "is_transient": "true"}, False, REJECT),
    ],
)
def test_transient_errors_are_tried_again_unless_that_could_harm(error, private_reply, verdict):
    assert rule_on(400, error, private_reply).verdict == verdict


def test_a_transient_error_stops_nothing_but_its_own_call():
    ruling = rule_on(400, {"code": 190, "is_transient": True}, private_reply=False)

    assert (ruling.scope, ruling.wait_seconds) == (CALL, None)


@pytest.mark.parametrize(("code", "subcode"), [(1, 0), (1, 99), (2, 0), (1, 4711)])
def test_unknown_and_downtime_on_a_private_reply_may_mean_that_it_was_sent(code, subcode):
    error = {"code": code, "error_subcode": subcode}

    assert rule_on(400, error, private_reply=True).verdict == SENT
    assert rule_on(400, error, private_reply=False).verdict == RETRY


def test_private_replies_that_are_temporarily_unavailable_are_tried_again():
    assert rule_on(400, {"code": 2, "error_subcode": 1545133}, private_reply=True).verdict == RETRY


@pytest.mark.parametrize(
    ("status", "error", "verdict", "scope"),
    [
        (500, {}, SENT, CALL),
        (502, {"message": "Bad gateway"}, SENT, CALL),
        (503, {"code": 987654}, SENT, CALL),
        (429, {}, WAIT, ACCOUNT),
        (400, {}, REJECT, CALL),
        (404, {"message": None}, REJECT, CALL),
        (302, {}, REJECT, CALL),
        (400, {"code": 987654}, REJECT, CALL),
        # A known code decides, whatever the status.
        (500, {"code": 551}, REJECT, CALL),
        (200, {"code": 190}, OWNER, ACCOUNT),
    ],
)
def test_the_http_status_decides_only_without_a_known_code(status, error, verdict, scope):
    ruling = rule_on(status, error, private_reply=False)

    assert (ruling.verdict, ruling.scope) == (verdict, scope)


@pytest.mark.parametrize("code", ["190", 190])
def test_codes_may_come_as_text(code):
    assert rule_on(400, {"code": code, "error_subcode": "463"}, private_reply=False).verdict == OWNER


@pytest.mark.parametrize("code", [None, [], {}, True, -1, 1.5, "²", "x", "9" * 5000])
def test_codes_that_are_no_numbers_count_as_none(code):
    assert rule_on(400, {"code": code, "error_subcode": code}, private_reply=False).verdict == REJECT
