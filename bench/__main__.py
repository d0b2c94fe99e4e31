"""`python -m bench`: ours and the peers in one run, as ratios; `--write` keeps the table in docs/benchmarks.md."""

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
TABLE = servers.ROOT / "docs" / "benchmarks.md"


def main() -> None:
    options = _options()
    node.install()
    pairs = QUICK_PAIRS if options.quick else options.pairs
    today = datetime.now(UTC).date().isoformat()
    sections: list[Section] = []
    with servers.running() as started:
        django.setup()
        with started.redis() as redis:
            postgres = str(started.sql(started.postgres, "SHOW server_version")[0][0])
            here = machine.describe(redis, postgres, node.version())
        for name in options.only:
            clock = machine.Clock(started.postgres_pid)
            # Its module asks for Django's settings, which are there only now.
            rows = import_module(f"bench.{name}").measure(started, pairs, options.quick)
            sections.append(Section(name, rows, clock.others(), today, pairs))
            sys.stderr.write(f"{sections[-1].as_markdown()}\n\n")
            if options.write:  # now: the next one may fail
                _keep(Report(sections, here, node.packages()))
    sys.stdout.write(Report(sections, here, node.packages()).as_markdown())


def _keep(report: Report) -> None:
    """Write docs/benchmarks.md, with the sections that were not measured now as they are."""
    kept = TABLE.read_text() if TABLE.exists() else ""
    TABLE.write_text(report.as_markdown(kept, order=BENCHMARKS))


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
