from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from django.core.management import get_commands

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
PACKAGES = ("chatautodm", "webhooks", "automations", "queueops")
SETTINGS = [ROOT / "chatautodm/settings.py", ROOT / "chatautodm/environment.py"]

NOT_READ = "(not read yet)"


@dataclass(frozen=True, slots=True)
class Documented:
    default: str
    meaning: str


def example() -> dict[str, Documented]:
    """The variables of .env.example: `#NAME=default` under one line or more that say what it is."""
    found = {}
    said: list[str] = []
    for line in (ROOT / ".env.example").read_text().splitlines():
        if match := re.fullmatch(r"#([A-Z_]+)=(.*)", line):
            found[match[1]] = Documented(match[2], " ".join(said))
        said = [*said, line.removeprefix("# ")] if line.startswith("# ") else []
    return found


def sources() -> list[Path]:
    return [ROOT / "gunicorn.conf.py", *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]


@cache
def readers() -> set[str]:
    """`os.environ.get`, and the functions of the settings that read the variable they are given the name of."""
    nodes = (node for path in SETTINGS for node in ast.walk(ast.parse(path.read_text())))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    return {"os.environ.get", *(one.name for one in functions if "os.environ.get(name" in ast.unparse(one))}


def reads() -> Iterator[tuple[str, ast.Call]]:
    """Every call that reads a variable of the environment by a literal name, wherever it stands."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
                name = node.args[0].value
                if ast.unparse(node.func) in readers() and isinstance(name, str):
                    yield name, node


def literal_defaults() -> dict[str, str]:
    """The defaults that stand as literals in the call, as they are written in the environment."""
    found = {}
    for name, call in reads():
        given = [*call.args[1:2], *(keyword.value for keyword in call.keywords if keyword.arg == "default")]
        if given and isinstance(given[0], ast.Constant) and given[0].value != "":
            value = given[0].value
            found[name] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def test_every_variable_that_is_read_stands_in_the_example_and_no_other() -> None:
    documented = {name for name, variable in example().items() if NOT_READ not in variable.meaning}

    assert documented == {name for name, _ in reads()}


def test_what_is_marked_as_not_read_is_not_read() -> None:
    marked = {name for name, variable in example().items() if NOT_READ in variable.meaning}

    assert not marked & {name for name, _ in reads()}, "take the mark away"


def test_the_example_gives_the_defaults_that_the_code_has() -> None:
    variables = example()

    assert {name: variables[name].default for name in literal_defaults()} == literal_defaults()
    assert len(literal_defaults()) > 10


def test_every_variable_says_what_it_is() -> None:
    assert [name for name, variable in example().items() if len(variable.meaning) < 10] == []


def test_the_example_can_be_taken_as_it_stands() -> None:
    given = {name: variable.default for name, variable in example().items()}
    env = {**os.environ, **given, "DEBUG": "true", "SECRET_KEY": "x" * 50}

    done = subprocess.run(
        [sys.executable, "-c", "import chatautodm.settings"],
        cwd=ROOT,
        env={**env, "FIELD_ENCRYPTION_KEYS": os.environ["FIELD_ENCRYPTION_KEYS"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", sorted(example()))
def test_the_configuration_page_explains(name: str) -> None:
    page = (ROOT / "docs/configuration.md").read_text()

    assert f"`{name}`" in page


@pytest.mark.parametrize("mark", [NOT_READ])
def test_the_configuration_page_marks_the_same_variables(mark: str) -> None:
    rows = [line for line in (ROOT / "docs/configuration.md").read_text().splitlines() if mark in line]

    marked = {name for row in rows for name in re.findall(r"^\| `([A-Z_]+)`", row)}

    assert marked == {name for name, variable in example().items() if mark in variable.meaning}


def prose(page: Path) -> str:
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


def links() -> list[tuple[Path, str]]:
    """Every page with each link in it that leads to a file of ours."""
    found = {(page, target) for page in PAGES for target in re.findall(r"\]\(([^)\s]+)\)", prose(page))}
    return sorted((page, target) for page, target in found if not target.startswith(("http://", "https://")))


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them in addresses."""
    headings = re.findall(r"^#+ (.+)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(("page", "target"), links(), ids=lambda value: str(value).removeprefix(f"{ROOT}/"))
def test_a_link_leads_somewhere(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    found = (page.parent / path).resolve() if path else page

    assert found.exists()
    assert found.is_relative_to(ROOT)
    assert not anchor or anchor in anchors(found)


@cache
def code(page: Path) -> str:
    """What a page shows as code: blocks and spans."""
    blocks = re.findall(r"```.*?\n(.*?)```", page.read_text(), flags=re.DOTALL)
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    return "\n".join([*blocks, *spans])


def make_targets() -> set[str]:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(re.findall(r"^\s*make ([a-z-]+)", done.stdout, flags=re.MULTILINE))


def test_every_make_target_that_is_named_is_in_make_help() -> None:
    named = {target for page in PAGES for target in re.findall(r"\bmake ([a-z-]+)", code(page))}

    assert "run" in named
    assert named <= make_targets()


def test_every_management_command_that_is_named_exists() -> None:
    named = {command for page in PAGES for command in re.findall(r"manage\.py ([a-z][\w-]*)", code(page))}

    assert "rqworker" in named
    assert named <= get_commands().keys()


def test_the_readme_says_how_to_run_the_tests() -> None:
    tests = (ROOT / "README.md").read_text().split("\n## Tests\n")[1].split("\n## ")[0]

    assert "make test" in tests


def decisions() -> list[Path]:
    return sorted((ROOT / "docs/adr").glob("[0-9]*.md"))


def test_every_decision_is_in_the_index() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()

    assert [page.name for page in decisions() if f"({page.name})" not in index] == []


@pytest.mark.parametrize("page", decisions(), ids=lambda page: page.stem)
def test_a_decision_says_why_and_what_would_change_it(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(), flags=re.MULTILINE)

    assert headings == ["Context", "Decision", "What was measured or read", "What would change our mind"]


def test_every_page_that_the_code_names_exists() -> None:
    named = {name for path in sources() for name in re.findall(r"docs/[\w/-]+\.md", path.read_text())}

    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {found for page in PAGES for found in re.findall(r"(tests/[\w/]+\.py)::(test_\w+)", page.read_text())}

    assert len(named) > 50
    assert [f"{path}::{name}" for path, name in sorted(named) if f"def {name}(" not in source(path)] == []


@cache
def source(path: str) -> str:
    return (ROOT / path).read_text() if (ROOT / path).exists() else ""
