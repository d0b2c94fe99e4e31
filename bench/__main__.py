"""`python -m bench`: ours and the peers in one run, as ratios; `--write` keeps the table as docs/benchmarks.md."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from importlib import import_module

import django

from bench import machine, node, servers
from bench.report import Report, Section

BENCHMARKS = ("ingest", "worker", "pipeline", "latency", "growth", "memory", "console")
QUICK_PAIRS = 1


def main() -> None:
    options = _options()
    node.install()
    pairs = QUICK_PAIRS if options.quick else options.pairs
    with servers.running() as started:
        django.setup()
        sections = []
        for name in options.only:
            clock = machine.Clock(started.postgres_pid)
            # Its module asks for Django's settings, which are there only now.
            rows = import_module(f"bench.{name}").measure(started, pairs, options.quick)
            sections.append(Section(name, rows, clock.others()))
            sys.stderr.write(f"{sections[-1].as_markdown()}\n\n")
        with started.redis() as redis:
            postgres = str(started.sql(started.postgres, "SHOW server_version")[0][0])
            machine_in_words = machine.describe(redis, postgres, node.version())
    today = datetime.now(UTC).date().isoformat()
    report = Report(sections, machine_in_words, node.packages(), today, pairs).as_markdown()
    sys.stdout.write(report)
    if options.write:
        (servers.ROOT / "docs" / "benchmarks.md").write_text(report)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", type=_names, default=BENCHMARKS, metavar=",".join(BENCHMARKS))
    parser.add_argument("--pairs", type=int, default=5, help="rounds A B (default: 5)")
    parser.add_argument("--quick", action="store_true", help="one short round: does it still run?")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    return parser.parse_args()


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if wrong := [name for name in names if name not in BENCHMARKS]:
        raise argparse.ArgumentTypeError(f"no benchmark {', '.join(wrong)}; there are {', '.join(BENCHMARKS)}")
    return names


if __name__ == "__main__":
    main()
