"""Who looks, and who is told what: once when it opens, once when it ends, through real receivers."""

from __future__ import annotations

import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from django.utils import timezone

from queueops import alert_messages, alerting, alerts, destinations
from queueops.alerting import MISSED_SECONDS, REPEAT_SECONDS, TAKE_SECONDS
from queueops.alerts import GONE_SECONDS, Condition, Found
from queueops.checks import alerts_reach_somebody
from queueops.models import Alert, AlertRound
from tests.people import superuser
from tests.queueops.alert_receivers import mail_server, web_server

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis")]

KEY = "T00000000000000000000/B11111111111"


@pytest.fixture
def web(settings):
    with web_server() as receiver:
        settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:{receiver.port}/services/{KEY}"
        settings.SECRETS = [*settings.SECRETS, settings.ALERT_WEBHOOK_URL]
        yield receiver


@pytest.fixture
def mail(settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with mail_server() as receiver:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", receiver.port
        settings.ALERT_EMAILS = ["maria@ops.example", "tom@ops.example"]
        yield receiver


@pytest.fixture
def wrong(monkeypatch):
    """What the one condition finds."""
    found: list[Found] = []
    monkeypatch.setattr(alerts, "_conditions", {})
    alerts.register(
        Condition(
            name="no_worker",
            title="No worker",
            severity=Alert.Severity.PAGE,
            holds_seconds=0,
            find=lambda look: found,
            advice="Start one.",
        )
    )
    return found


@pytest.fixture
def a_round(monkeypatch):
    """A round, so many seconds after the beginning."""
    begin = timezone.now()

    def a_round(seconds, by="worker w1", older_than=TAKE_SECONDS):
        monkeypatch.setattr(timezone, "now", lambda: begin + timedelta(seconds=seconds))
        return alerting.turn(by, older_than)

    return a_round


def titles(web):
    return [hook["text"].splitlines()[0].strip("*") for hook in web.hooks]


# --- Who looks -------------------------------------------------------------------------------------------------------


def test_of_several_workers_one_does_the_round(a_round, wrong):
    assert [a_round(0, by) for by in ("w1", "w2", "w3")] == [True, False, False]
    assert [a_round(TAKE_SECONDS - 1, "w2"), a_round(TAKE_SECONDS, "w2")] == [False, True]
    assert alerting.last_round().looked_by == "w2"


def test_the_web_server_does_it_only_once_the_workers_have_missed_theirs(a_round, wrong):
    a_round(0)
    assert not a_round(TAKE_SECONDS + 60, "web", MISSED_SECONDS)
    assert a_round(MISSED_SECONDS, "web", MISSED_SECONDS)


@pytest.mark.django_db(transaction=True)
def test_of_many_who_come_at_the_same_instant_one_does_the_round(wrong, threads):
    barrier, done = threading.Barrier(4), []

    def come():
        barrier.wait()
        done.append(alerting._take("x", timezone.now(), TAKE_SECONDS))
        connection.close()

    running = [threading.Thread(target=come) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()

    assert sorted(done) == [False, False, False, True]
    assert AlertRound.objects.count() == 1


def test_in_a_thread_a_database_that_is_away_is_said_and_harms_nothing(monkeypatch, caplog):
    def away(*args):
        raise DatabaseError("server closed\nthe connection")

    monkeypatch.setattr(alerting, "turn", away)
    monkeypatch.setattr(connection, "close", lambda: None)
    alerting.turn_of_thread("w1", TAKE_SECONDS)
    assert "action=alerts_unknown error=server closed the connection" in caplog.text


# --- Who is told what ------------------------------------------------------------------------------------------------


def test_it_is_told_when_it_opens_and_when_it_ends_and_not_between(a_round, wrong, web):
    wrong.append(Found("high", "No worker listens to lane high."))
    for second in (0.0, 60.0, 120.0):
        a_round(second)
    wrong.clear()
    for second in (660.0, 720.0, 660 + GONE_SECONDS, 720 + GONE_SECONDS):
        a_round(second)

    assert titles(web) == [
        "[ChatAutoDM] No worker listens to lane high.",
        "[ChatAutoDM] Resolved after 2 min 0 s: No worker listens to lane high.",
    ]
    assert Alert.objects.get().told["webhook"][0] == "resolved"


def test_while_it_is_open_it_is_told_again_every_four_hours_until_somebody_looks_after_it(a_round, wrong, web):
    wrong.append(Found("", "No worker runs."))
    for second in (0, REPEAT_SECONDS - 60, REPEAT_SECONDS, REPEAT_SECONDS + 60, 2 * REPEAT_SECONDS):
        a_round(second)
    assert titles(web) == ["[ChatAutoDM] No worker runs.", *["[ChatAutoDM] Still open: No worker runs."] * 2]

    alerts.acknowledge(Alert.objects.get(), superuser(), timezone.now())
    a_round(3 * REPEAT_SECONDS)
    assert len(web.hooks) == 3
    wrong.clear()
    a_round(3 * REPEAT_SECONDS + 60)
    a_round(3 * REPEAT_SECONDS + 60 + GONE_SECONDS)
    assert titles(web)[3].startswith("[ChatAutoDM] Resolved after")


def test_several_at_once_are_one_message(a_round, wrong, web, mail):
    wrong += [Found(str(n), f"Account @shop{n} needs its owner.") for n in range(30)]
    a_round(0)

    assert titles(web) == ["[ChatAutoDM] Account @shop0 needs its owner. And 29 more."]
    assert len(web.hooks[0]["attachments"]) == alert_messages.MOST_TOLD
    (one,) = mail.mails
    text = one.get_payload(decode=True).decode()
    assert one["Subject"] == "[ChatAutoDM] Account @shop0 needs its owner. And 29 more."
    assert "And 10 more" in text
    assert "Start one." in text
    assert mail.to == ["maria@ops.example", "tom@ops.example"]
    assert all(alert.told.keys() == {"email", "webhook"} for alert in Alert.objects.all())


def test_one_receiver_that_is_down_is_told_in_the_next_round_and_the_other_not_again(a_round, wrong, web, mail, caplog):
    web.status = 503
    wrong.append(Found("", "No worker runs."))
    a_round(0)
    assert (len(web.hooks), len(mail.mails)) == (1, 1)
    assert "action=alerts_untold destination=webhook n=1 error=HTTP 503 no_service" in caplog.text

    web.status = 200
    a_round(60)
    a_round(120)

    assert titles(web) == ["[ChatAutoDM] No worker runs."] * 2
    assert len(mail.mails) == 1


def test_who_is_killed_before_it_was_told_lets_the_next_one_tell_it(a_round, wrong, web, monkeypatch):
    def killed(now):
        raise SystemExit

    wrong.append(Found("", "No worker runs."))
    with monkeypatch.context() as patch:
        patch.setattr(alerting, "tell", killed)
        with pytest.raises(SystemExit):
            a_round(0)
    assert web.hooks == []

    a_round(60, "worker w2")
    assert titles(web) == ["[ChatAutoDM] No worker runs."]


def test_what_came_and_went_while_the_receiver_was_down_is_told_at_its_end(a_round, wrong, web):
    web.status = 500
    wrong.append(Found("", "No worker runs."))
    a_round(0)
    wrong.clear()
    a_round(60)
    web.status, web.hooks[:] = 200, []
    a_round(60 + GONE_SECONDS)
    a_round(160 + GONE_SECONDS)

    assert titles(web) == ["[ChatAutoDM] Resolved after 0 s: No worker runs."]


def test_a_webhook_is_in_slacks_form_and_calls_nobody(a_round, wrong, web, settings):
    settings.CONSOLE_URL = "https://dm.example.com"
    wrong.append(Found("high", "<!channel> & co: No worker."))
    a_round(0)

    (hook,) = web.hooks
    assert set(hook) == {"text", "attachments"}
    assert "&lt;!channel&gt; &amp; co" in hook["text"]
    (attachment,) = hook["attachments"]
    assert attachment["color"] == "danger"
    assert attachment["title_link"] == f"https://dm.example.com/admin/queueops/alert/{Alert.objects.get().pk}/change/"
    fields = {field["title"]: field["value"] for field in attachment["fields"]}
    assert fields["About"] == "high"
    assert fields["What to do"] == "Start one. See docs/operations/alerts.md."


def test_no_secret_is_in_what_is_told(a_round, wrong, web, mail, settings):
    token = "IGAAprivateAccessTokenOfSomebody0123456789"
    wrong.append(Found("", f"No answer for {token} from {settings.SECRET_KEY}."))
    a_round(0)

    for said in (str(web.hooks), str(mail.mails[0])):
        assert "No answer for [hidden]" in said
        assert token not in said
        assert settings.SECRET_KEY not in said


def test_a_receiver_that_redirects_is_not_followed_and_one_that_is_nowhere_says_so_without_its_address(web, settings):
    web.status, web.location = 302, f"http://127.0.0.1:{web.port}/elsewhere"
    with pytest.raises(destinations.Undelivered, match="HTTP 302"):
        destinations.by_webhook(alert_messages.trial(timezone.now()))
    assert len(web.hooks) == 1

    settings.ALERT_WEBHOOK_URL = f"http://127.0.0.1:9/services/{KEY}"
    with pytest.raises(destinations.Undelivered) as caught:
        destinations.by_webhook(alert_messages.trial(timezone.now()))
    assert KEY not in str(caught.value)


# --- Commands and checks ---------------------------------------------------------------------------------------------


def test_a_test_goes_to_each_and_says_what_came_back(web, mail):
    out = StringIO()
    call_command("test_alert", stdout=out)

    assert out.getvalue().splitlines() == ["email: taken for 2 addresses", "webhook: HTTP 200"]
    assert titles(web) == ["[ChatAutoDM] Test"]
    assert mail.mails[0]["Subject"] == "[ChatAutoDM] Test"
    assert not Alert.objects.exists()


def test_a_test_that_does_not_arrive_says_so(web):
    web.status = 404
    out = StringIO()
    with pytest.raises(CommandError, match=r"Nothing arrives by webhook\."):
        call_command("test_alert", stdout=out)
    assert out.getvalue() == "webhook: not delivered: HTTP 404 no_service\n"


def test_a_test_without_destinations_names_the_variables():
    with pytest.raises(CommandError, match="ALERT_EMAILS"):
        call_command("test_alert")


def test_cron_is_told_what_is_open_by_the_exit_code(wrong):
    out = StringIO()
    call_command("check_alerts", stdout=out)
    assert out.getvalue() == "Nothing is wrong.\n"

    wrong.append(Found("", "No worker runs."))
    with pytest.raises(SystemExit) as caught:
        call_command("check_alerts", "--older-than", "0", stdout=out)
    assert caught.value.code == 1
    assert "page: No worker runs. (since " in out.getvalue()


@pytest.mark.parametrize(
    ("debug", "emails", "webhook", "found"),
    [
        (False, [], "", ["queueops.W008"]),
        (False, ["maria@ops.example"], "", []),
        (False, [], "https://hooks.example/x", []),
        (True, [], "", []),
    ],
)
def test_an_installation_whose_alerts_reach_nobody_is_warned(settings, debug, emails, webhook, found):
    settings.DEBUG, settings.ALERT_EMAILS, settings.ALERT_WEBHOOK_URL = debug, emails, webhook
    assert [message.id for message in alerts_reach_somebody()] == found
