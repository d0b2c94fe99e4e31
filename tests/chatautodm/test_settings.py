"""The environment's values: each reader by itself, and a handful of starts with a wrong value."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.exceptions import ImproperlyConfigured

from chatautodm import settings

KEY = "hDZSxS4pOI8kFhwTYZBn1p4iwDWUx7UcSk2z0eCqQYI="  # only for tests
GRAPH_FORM = (r"https?://\S+", "an address")


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set the variable THING."""
    return lambda value: monkeypatch.setenv("THING", value)


def complaint(read: Callable[[], Any]) -> str:
    with pytest.raises(ImproperlyConfigured) as caught:
        read()
    said = str(caught.value)
    assert "\n" not in said
    return said


# --- Numbers, switches, lists, forms -------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "read"), [("", 7), ("  ", 7), ("0", 0), (" 12 ", 12), ("-0", 0)])
def test_it_reads_whole_numbers(given, value, read):
    given(value)
    assert settings.integer("THING", 7) == read


@pytest.mark.parametrize("value", ["-1", "--5", "1.5", "1e3", "1_000", "²", "ten", "0x10", "-"])
def test_it_refuses_what_is_no_whole_number_or_too_small(given, value):
    given(value)
    said = complaint(lambda: settings.integer("THING", 7))
    assert said == f"THING={value!r} must be a whole number of at least 0; the default is 7."


@pytest.mark.parametrize("value", ["true", "True", " 1 ", "ON", "yes"])
def test_it_reads_what_means_on(given, value):
    given(value)
    assert settings.boolean("THING", default=False) is True


@pytest.mark.parametrize("value", ["false", "0", "off", "NO"])
def test_it_reads_what_means_off(given, value):
    given(value)
    assert settings.boolean("THING", default=True) is False


@pytest.mark.parametrize("default", [True, False])
def test_an_empty_switch_is_the_default(given, default):
    given("")
    assert settings.boolean("THING", default=default) is default


@pytest.mark.parametrize("value", ["maybe", "2", "tru", "none"])
def test_it_refuses_what_is_neither_on_nor_off(given, value):
    given(value)
    assert complaint(lambda: settings.boolean("THING", default=True)) == (
        f"THING={value!r} must be true or false; the default is true."
    )


def test_a_list_has_no_empty_entries(given):
    given(" a, b ,,c,")
    assert settings.words("THING") == ["a", "b", "c"]
    given("")
    assert settings.words("THING", "a") == []


def test_a_text_has_its_form(given):
    given("")
    assert settings.shaped("THING", "https://x", *GRAPH_FORM) == "https://x"
    given("graph.example.com")
    assert complaint(lambda: settings.shaped("THING", "https://x", *GRAPH_FORM)) == (
        "THING='graph.example.com' must be an address; the default is https://x."
    )


# --- Secrets -------------------------------------------------------------------------------------------------------


def test_a_secret_is_required_while_debug_is_off(given, monkeypatch):
    monkeypatch.setattr(settings, "DEBUG", False)
    given("")
    said = complaint(lambda: settings.secret("THING", lambda: "made up", "Make one."))
    assert said.startswith("THING is not set, and DEBUG is off. Make one.")
    given(" mine ")
    assert settings.secret("THING", lambda: "made up", "Make one.") == "mine"


def test_a_secret_is_made_up_once_while_debug_is_on(given, monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "DEBUG", True)
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path / "var")
    given("")
    first = settings.secret("THING", lambda: "first", "")
    assert (first, settings.secret("THING", lambda: "second", "")) == ("first", "first")
    assert stat.S_IMODE((tmp_path / "var" / "thing").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "var").iterdir()] == ["thing"]


def test_a_secret_that_another_process_has_just_made_up_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path)

    def generate() -> str:
        (tmp_path / "thing").write_text("theirs")  # between our look for the file and our link
        return "ours"

    assert settings.generated_once("thing", generate) == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_folder_that_cannot_hold_the_secret_is_one_line(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(settings, "VAR_DIR", tmp_path / "file" / "var")
    said = complaint(lambda: settings.generated_once("secret_key", lambda: "made up"))
    path = tmp_path / "file" / "var" / "secret_key"
    assert said.startswith(f"SECRET_KEY is not set, and {path} cannot be written: Not a directory.")


def test_it_takes_several_encryption_keys():
    assert settings.fernet_keys(f" {KEY} ,{KEY},") == [KEY, KEY]


@pytest.mark.parametrize("text", ["", ",", "short", f"{KEY},short", "é" * 44, KEY[:-1]])
def test_it_refuses_what_is_no_encryption_key(text):
    said = complaint(lambda: settings.fernet_keys(text))
    assert said.startswith("FIELD_ENCRYPTION_KEYS must be Fernet keys")
    assert "Make one with:" in said


# --- Addresses -----------------------------------------------------------------------------------------------------


def test_a_relative_path_of_sqlite_is_in_the_projects_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
    config = settings.database("sqlite:///deep/er/x.sqlite3")
    assert config["NAME"] == str(tmp_path / "deep/er/x.sqlite3")
    assert (tmp_path / "deep/er").is_dir()
    assert config["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


def test_an_absolute_path_of_sqlite_has_four_slashes(tmp_path):
    assert settings.database(f"sqlite:///{tmp_path}/x.sqlite3")["NAME"] == f"{tmp_path}/x.sqlite3"


def test_a_folder_of_sqlite_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    said = complaint(lambda: settings.database(f"sqlite:///{tmp_path}/file/x.sqlite3"))
    assert said.startswith(f"DATABASE_URL names {tmp_path}/file/x.sqlite3")


@pytest.mark.parametrize(
    ("url", "host", "port", "password"),
    [
        ("postgres://ada:pass@db.example.com:6432/chat", "db.example.com", 6432, "pass"),
        ("postgresql://ada:p%2F%40@db.example.com/chat", "db.example.com", "", "p/@"),
        ("postgres://ada:pass@%2Frun%2Fpostgresql/chat", "/run/postgresql", "", "pass"),
    ],
)
def test_it_reads_where_postgresql_is(url, host, port, password):
    config = settings.database(url)
    assert config["ENGINE"] == "django.db.backends.postgresql"
    assert (config["NAME"], config["USER"]) == ("chat", "ada")
    assert (config["HOST"], config["PORT"], config["PASSWORD"]) == (host, port, password)
    assert config["CONN_HEALTH_CHECKS"] is True


@pytest.mark.parametrize(
    "url",
    [
        "chat.sqlite3",
        "sqlite://",
        "sqlite:///:memory:",  # every process would have one of its own
        "postgres://",
        "postgres://ada:hush@db.example.com",
        "postgres://ada:hush@db.example.com:port/chat",
        "mysql://ada:hush@db.example.com/chat",
    ],
)
def test_it_refuses_an_address_of_no_database_we_know_and_tells_no_password(url):
    said = complaint(lambda: settings.database(url))
    assert said.startswith("DATABASE_URL must be sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME")
    assert "hush" not in said


def test_the_embedded_servers_socket_is_beside_its_data_if_a_socket_may_have_so_long_a_path(tmp_path):
    assert settings.valkey_socket(Path("/srv/var/valkey")) == Path("/srv/var/valkey/valkey.sock")
    deep, other = (settings.valkey_socket(Path("/srv") / (letter * 100)) for letter in "ab")
    assert len(str(deep)) < 100
    assert deep != other


# --- Starts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WEB_CONCURRENCY", "abc", "WEB_CONCURRENCY='abc' must be a whole number of at least 1; the default is "),
        ("QUEUE_CONCURRENCY", "0", "QUEUE_CONCURRENCY='0' must be a whole number of at least 1; the default is 200."),
        ("REDIS_URL", "localhost:6379", "REDIS_URL must begin with redis://"),
        ("SECRET_KEY", "", "SECRET_KEY is not set, and DEBUG is off."),
        ("FIELD_ENCRYPTION_KEYS", "short", "FIELD_ENCRYPTION_KEYS must be Fernet keys"),
        ("GRAPH_API_VERSION", "25", "GRAPH_API_VERSION='25' must be a version such as v25.0; the default is v25.0."),
    ],
)
def test_a_wrong_value_ends_the_start_with_one_line(name, value, said):
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=project.BASE_DIR,
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"Configuration error: {said}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_two_processes_that_start_together_make_up_one_secret(tmp_path):
    (tmp_path / "chatautodm").mkdir()
    for name in (
        "__init__.py",
        *(path.name for path in (project.BASE_DIR / "chatautodm").glob("*settings.py")),
        "environment.py",
    ):
        shutil.copy(project.BASE_DIR / "chatautodm" / name, tmp_path / "chatautodm")
    (tmp_path / "queueops").mkdir()
    for name in ("__init__.py", "sentinel.py"):
        shutil.copy(project.BASE_DIR / "queueops" / name, tmp_path / "queueops")
    environment = {name: value for name, value in os.environ.items() if name not in {"SECRET_KEY", "DATABASE_URL"}}
    command = [sys.executable, "-c", "from chatautodm.settings import SECRET_KEY; print(SECRET_KEY)"]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, env={**environment, "DEBUG": "true"}, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    keys = {process.communicate(timeout=30)[0].strip() for process in processes}
    assert len(keys) == 1
    assert keys == {(tmp_path / "var" / "secret_key").read_text()}


# --- Alerts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://localhost:25", ("localhost", 25, "", "", False, False)),
        ("smtp+tls://ops%40shop:p%25ss@mail.example", ("mail.example", 587, "ops@shop", "p%ss", True, False)),
        ("smtp+ssl://u:p@mail.example:4650", ("mail.example", 4650, "u", "p", False, True)),
    ],
)
def test_the_mail_server_is_read_from_its_address(url, expected):
    code = "from chatautodm import settings as s; print((s.EMAIL_HOST, s.EMAIL_PORT, s.EMAIL_HOST_USER, "
    code += "s.EMAIL_HOST_PASSWORD, s.EMAIL_USE_TLS, s.EMAIL_USE_SSL))"
    done = start_alone(code, EMAIL_URL=url)
    assert done.stdout.strip() == str(expected), done.stderr


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("ALERT_WEBHOOK_URL", "http://hooks.example/hush-hush-hush", "https://"),
        ("ALERT_WEBHOOK_URL", "hooks.example/hush-hush-hush", "https://"),
        ("EMAIL_URL", "ftp://u:hush-hush-hush@mail.example", "smtp://"),
        ("EMAIL_URL", "smtp://u:hush-hush-hush@mail.example:port", "smtp://"),
        ("EMAIL_URL", "smtp:///hush-hush-hush", "names no host"),
        ("ALERT_EMAILS", "maria", "must be addresses"),
        ("CONSOLE_URL", "dm.example.com/admin", "without a path"),
    ],
)
def test_a_destination_of_the_wrong_form_stops_the_start_without_its_secret(name, value, form):
    done = start_alone("import chatautodm.settings", DEBUG="false", **{name: value})
    assert name in done.stderr.splitlines()[-1]
    assert form in done.stderr.splitlines()[-1]
    assert "hush-hush-hush" not in done.stderr.splitlines()[-1]


def test_the_webhooks_key_and_the_mail_password_are_never_written():
    code = "from chatautodm import settings as s; print(s.SECRETS)"
    hook = "https://hooks.example/services/T0000/B1111111111111111"
    done = start_alone(code, ALERT_WEBHOOK_URL=hook, EMAIL_URL="smtp://u:p%40ssword@mail.example")
    for secret in (hook, "B1111111111111111", "p@ssword"):
        assert repr(secret) in done.stdout
    assert "'services'" not in done.stdout


def test_a_database_that_does_not_answer_is_given_up_soon_unless_the_address_says_when():
    assert settings.database("postgres://u:p@h/n")["OPTIONS"]["connect_timeout"] == 5
    assert settings.database("postgres://u:p@h/n?connect_timeout=30")["OPTIONS"]["connect_timeout"] == 30


def start_alone(code: str, **given: str) -> subprocess.CompletedProcess[str]:
    """The code in a process of its own with these variables."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.BASE_DIR,
        env={**os.environ, "SECRET_KEY": "x" * 50, "FIELD_ENCRYPTION_KEYS": KEY, **given},
        capture_output=True,
        text=True,
        check=False,
    )
