from __future__ import annotations

import pytest
from django.conf import settings
from django.db import connection
from redis import Redis


@pytest.mark.django_db
def test_the_suite_runs_on_a_real_postgresql_and_a_real_valkey():
    with connection.cursor() as cursor:
        cursor.execute("SELECT version()")
        assert cursor.fetchone()[0].startswith("PostgreSQL")
    assert Redis.from_url(settings.QUEUE_REDIS_URL).info("server")["server_name"] == "valkey"
