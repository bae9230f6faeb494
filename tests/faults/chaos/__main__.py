"""`make chaos`: a run of minutes, and its report."""

from __future__ import annotations

import argparse
import logging
import random
import sys
import threading
import time
from collections import Counter

from tests.faults.chaos.checker import Evidence, gather, problems
from tests.faults.chaos.faults import FAULTS, POSTGRES_FAULTS, strike
from tests.faults.chaos.load import load
from tests.faults.chaos.rig import rigged
from tests.support.databases import forget_environment


def run(*, database: str, minutes: float, seed: int) -> list[str]:
    """Return the problems."""
    chance = random.Random(seed)  # noqa: S311 - it decides nothing but what breaks next.
    faults = FAULTS | (POSTGRES_FAULTS if database == "postgresql" else {})
    struck: Counter[str] = Counter()
    print(f"{database}, {minutes:g} minutes, seed {seed}", flush=True)
    with rigged(database=database) as rig:
        with load(rig) as promises:
            over = time.monotonic() + minutes * 60
            while time.monotonic() < over:
                names = chance.sample(sorted(faults), chance.choice([1, 1, 2]))
                print(f"  {' + '.join(names)}", flush=True)
                strike(rig, names, faults, seconds=chance.uniform(0.2, 3))
                struck.update(names)
                threading.Event().wait(chance.uniform(0.2, 2))
        evidence = gather(rig, promises)
        report(evidence, struck)
        wrong = problems(evidence)
        if wrong:
            print(*wrong, "", rig.deployment.told()[-10_000:], sep="\n")
        return wrong


def report(evidence: Evidence, struck: Counter[str]) -> None:
    promises = evidence.promises
    counts = {
        "faults": f"{struck.total()} ({', '.join(f'{name} {times}' for name, times in sorted(struck.items()))})",
        "effects promised, lost, twice": (
            f"{len(promises.numbers)}, {len(promises.numbers - set(evidence.effects))}, "
            f"{sum(times > 1 for times in evidence.effects.values())}"
        ),
        "sign-ups promised, without mail": f"{len(promises.addresses)}, {len(promises.addresses - evidence.addressees)}",
        "mails sent, as twins": f"{evidence.copies.total()}, {sum(copies > 1 for copies in evidence.copies.values())}",
        "pages": ", ".join(f"{status}: {count}" for status, count in sorted(promises.answers.items()) if count),
        "tries of a mail, at most": max(evidence.tries.values(), default=0),
        "drained after": f"{evidence.drained_after:.1f} s" if evidence.drained_after is not None else "not drained",
    }
    for name, value in counts.items():
        print(f"  {name:<32} {value}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="make chaos ARGS=", description="Break everything at random, and check.")
    parser.add_argument("--minutes", type=float, default=3, help="for each database (default: 3)")
    parser.add_argument("--database", choices=["sqlite", "postgresql", "both"], default="both")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    arguments = parser.parse_args()
    forget_environment()
    logging.disable()  # The logs of the parts name the cause.
    databases = ["sqlite", "postgresql"] if arguments.database == "both" else [arguments.database]
    wrong = [run(database=database, minutes=arguments.minutes, seed=arguments.seed) for database in databases]
    print("Something is wrong." if any(wrong) else "Nothing was lost, nothing was done twice.")
    sys.exit(any(wrong))
