"""RQ's own pages while a worker is busy with this project's jobs, which are JSON and no pickles."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse
from rq import Worker

from queueops import connections
from tests.people import superuser
from tests.queueops import jobs_for_tests as jobs
from tests.queueops.conftest import not_switched, put, until, while_working, work  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_busy_workers_page_names_its_job(redis, put, while_working):  # noqa: F811
    jobs.forget()  # that it was let go, in another folder's test
    put("hold", "e1")
    user, pages = superuser(), {}

    def look() -> None:
        until(lambda: redis.zcard("rq:wip:high"), "the claim")
        client = Client()
        client.force_login(user)
        [worker] = Worker.all(connection=connections.client())
        until(worker.get_current_executions, "its execution")
        pages["worker"] = client.get(reverse("admin:django_rq_worker_details", args=[0, worker.key]))

    while_working(look)

    assert pages["worker"].status_code == 200
    text = pages["worker"].content.decode()
    assert f"{jobs.HERE}.hold" in text
    assert "busy" in text
