"""Real failures with secrets and people's words in them, and everything that was then written: nothing may show."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from django.conf import settings as project
from django.db import IntegrityError
from django.test import Client
from django.urls import path

from automations.models import Event
from chatautodm import logs, sentry
from chatautodm.urls import urlpatterns as usual
from queueops import attempts, runner, scrubbing
from queueops.models import DeadLetter
from queueops.runner import Claimed
from tests.chatautodm.sentry_receiver import Receiver, receiving
from tests.servers import APP_SECRET
from webhooks.signature import sign

TOKEN = "IGAAprivateAccessTokenOfSomebody0123456789"
TEXT = "My order 4711 never came, please call Maria at home"
PAYLOAD = {
    "kind": "message",
    "account": "17841456778752687",
    "person": "8422491661125971",
    "source_id": "m_leak",
    "at_ms": 1,
    "text": TEXT,
}
SIGNATURE = sign(TEXT.encode(), APP_SECRET)
PRIVATE = (TOKEN, "SomebodyElse", TEXT, "Maria at home", SIGNATURE, SIGNATURE[7:], APP_SECRET, project.SECRET_KEY)


async def raises_with_everything(payload: dict[str, Any], receipt: dict[str, Any]) -> None:
    """A job that fails in the worst way: with a token, the text and the request in locals and in its message."""
    scrubbing.hide(payload["text"])
    token = TOKEN
    raise KeyError(f"{payload['text']} access_token={token} {SIGNATURE} {APP_SECRET}")


def view(request, name):
    body, signature = request.body.decode(), request.headers["X-Hub-Signature-256"]
    raise RuntimeError(f"cannot use {signature}: secret={APP_SECRET} as {TOKEN}" + body[:0])


urlpatterns = [*usual, path("fails/<str:name>", view)]


@pytest.fixture
def written() -> Iterator[list[str]]:
    """Every line that the processes' handlers would write, in both forms."""
    lines: list[str] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.extend(logs.formatter(form).format(record) for form in ("console", "json"))

    handler = Kept()
    for name in ("", "rq.worker", "gunicorn.error"):
        logging.getLogger(name).addHandler(handler)
    yield lines
    for name in ("", "rq.worker", "gunicorn.error"):
        logging.getLogger(name).removeHandler(handler)


@pytest.fixture
def reported(settings) -> Iterator[Receiver]:
    with receiving() as receiver:
        settings.SENTRY_DSN = receiver.dsn
        sentry.start()
        yield receiver
        sentry_sdk.get_client().close()
        sentry_sdk.get_global_scope().set_client(None)


def nothing_private(*texts: str) -> None:
    for text in texts:
        for private in PRIVATE:
            assert private not in text, f"{private!r} in {text[:2000]}"


def job(path: str, id: str = "leak-1") -> Claimed:
    data = json.dumps([path, None, [PAYLOAD, {"id": "r", "at": 0}], {}]).encode()
    return Claimed("high", id, "e", data, 30.0, 2)


@pytest.mark.django_db(transaction=True)
def test_a_job_that_raises_with_a_token_and_a_text(run, written, reported, redis, admin_client):
    settled = run(runner.run(job(f"{__name__}.raises_with_everything")))
    sentry_sdk.flush()

    letter = DeadLetter.objects.get()
    [event] = reported.wait_for(1)
    answer = admin_client.get("/api/dead-letters", secure=True)
    assert "raises_with_everything" in letter.traceback
    assert "KeyError" in letter.error
    assert "action=job_raised" in "".join(written)
    assert event["exception"]["values"][0]["type"] == "KeyError"
    assert answer.json()["results"][0]["id"] == str(letter.pk)
    nothing_private(*written, *reported.bodies, letter.traceback, letter.error, settled.detail, answer.content.decode())


@pytest.mark.django_db
def test_a_view_that_raises_with_the_webhooks_body(settings, written, reported):
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False)
    answer = client.post(
        f"/fails/now?access_token={TOKEN}&hub.verify_token=hush",
        TEXT,
        content_type="text/plain",
        headers={"X-Hub-Signature-256": SIGNATURE, "Authorization": f"Token {TOKEN}", "Cookie": f"sessionid={TOKEN}"},
        secure=True,
    )
    sentry_sdk.flush()

    [event] = reported.wait_for(1)
    assert answer.status_code == 500
    assert event["tags"] == {"route": "fails/<str:name>"}
    assert event["exception"]["values"][0]["type"] == "RuntimeError"
    assert "request" not in event
    nothing_private(*written, *reported.bodies, answer.content.decode())


@pytest.mark.django_db(transaction=True)
def test_a_database_that_repeats_the_row_it_refuses(written):
    row: dict[str, Any] = {"key": "leak", "receipt": "r", "kind": "message", "lane": "high", "account": "1"}
    row |= {"source_id": "m", "text": TEXT, "payload": {}, "received_at": None}
    with pytest.raises(IntegrityError, match="Failing row") as caught:
        Event.objects.create(**row)
    assert TEXT[:40] in str(caught.value)

    logging.getLogger("queueops.runner").error("action=job_raised job=%s", "leak", exc_info=caught.value)

    assert len(written) == 2
    nothing_private(*written, attempts.traceback_of(caught.value))
    assert TEXT[:40] not in "".join(written)


def test_a_command_that_crashes(tmp_path):
    code = f"""
import sys; from django.core.management import execute_from_command_line as run
from chatautodm import logs; logs.log_crashes()
import django; django.setup()
raise RuntimeError("token {TOKEN} secret={APP_SECRET}")
"""
    for form in ("console", "json"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "LOG_FORMAT": form},
            cwd=project.BASE_DIR,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "RuntimeError" in done.stderr
        assert "action=crashed" in done.stderr
        nothing_private(done.stderr)


def test_a_process_that_reports_nowhere_does_not_even_load_the_library():
    code = "import django, sys; django.setup(); import chatautodm.asgi; sys.exit('sentry_sdk' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=project.BASE_DIR, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.django_db
def test_a_command_reports_its_crash_with_release_and_environment():
    with receiving() as receiver:
        environment = {**os.environ, "SENTRY_DSN": receiver.dsn, "SENTRY_ENVIRONMENT": "staging"}
        code = "from chatautodm import logs; logs.log_crashes(); import django; django.setup(); raise LookupError('x')"
        subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=project.BASE_DIR, check=False, capture_output=True
        )
        [event] = receiver.wait_for(1)
    assert (event["release"], event["environment"]) == (project.SENTRY_RELEASE, "staging")
    assert event["exception"]["values"][0]["type"] == "LookupError"
    assert "only-for-tests-key" not in receiver.bodies[0].split("\n", 1)[1]
