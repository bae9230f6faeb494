"""`make bench`, or `make bench ARGS="--only worker"`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from bench import footprint, imports, jobs, report, web
from bench.figure import QUICK, THOROUGH, Effort, Figure
from bench.workspace import Workspace

FIGURES: dict[str, Callable[[Workspace, Effort], Iterator[Figure]]] = {
    "start": footprint.start,
    "memory": footprint.memory,
    "first-answer": footprint.first_answer,
    "idle": footprint.idle,
    "requests": web.requests,
    "requests-without-redis": web.requests_without_redis,
    "worker": jobs.worker,
    "workers": jobs.workers,
    "import": imports.imported,
    "sign-ins": web.few_sign_ins,
    "many-sign-ins": web.many_sign_ins,
}


def main() -> int:
    options = arguments()
    figures = []
    with Workspace() as workspace:
        print(report.HEADING, flush=True)
        for name in options.only or FIGURES:
            for figure in FIGURES[name](workspace, QUICK if options.quick else THOROUGH):
                print(report.line(figure), flush=True)
                figures.append(figure)
    if options.write:
        report.write(figures)
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=FIGURES, help="measure this alone; may be given again")
    parser.add_argument("--quick", action="store_true", help="a smoke run: a moment each, and no figure is judged")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks.md")
    options = parser.parse_args()
    if options.write and (options.only or options.quick):
        parser.error("only a whole run is written down")
    return options


if __name__ == "__main__":
    sys.exit(main())
