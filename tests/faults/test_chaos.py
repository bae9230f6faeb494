"""A few seconds of all faults lose nothing; without requeuing of due jobs the checker reports it."""

import random
from collections import Counter

import pytest

from tests.faults.chaos.checker import Evidence, gather, problems
from tests.faults.chaos.faults import FAULTS, POSTGRES_FAULTS, kill, strike
from tests.faults.chaos.load import Promises, load
from tests.faults.chaos.rig import rigged
from tests.support.databases import databases
from tests.support.deployment import PATIENCE_SECONDS, until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("database", databases())
def test_faults_lose_no_job_and_run_none_twice(database):
    faults = FAULTS | (POSTGRES_FAULTS if database == "postgresql" else {})
    order = random.Random(15).sample(sorted(faults), len(faults))  # noqa: S311 - only the order of what breaks.
    with rigged(database=database) as rig:
        with load(rig) as promises:
            for name in order:
                strike(rig, [name], faults, seconds=0.2)
            until(lambda: promises.addresses)
        evidence = gather(rig, promises, within=PATIENCE_SECONDS)
        assert problems(evidence) == [], rig.deployment.told()[-10_000:]
    assert evidence.promises.numbers


@pytest.mark.deep
def test_checker_fails_when_due_jobs_are_not_requeued():
    with rigged(database="sqlite", without_rescue=True) as rig:
        with load(rig) as promises:
            down = kill("Valkey")(rig)
            until(lambda: promises.numbers and promises.addresses)
            down()
            rig.start_dead()
        wrong = problems(gather(rig, promises, within=1))
    assert any("not drained in time" in problem for problem in wrong)
    assert any("effects are lost" in problem for problem in wrong)
    assert any("mails are lost" in problem for problem in wrong)


GOOD = {
    "promises": Promises({1, 2}, {"ada@example.com"}, Counter({303: 1, 503: 2})),
    "effects": Counter([1, 2]),
    "copies": Counter(["<1@x>", "<1@x>"]),
    "addressees": {"ada@example.com"},
    "tries": {"<1@x>": 2},
    "recorded": {"<1@x>"},
    "dead": [],
    "unfinished": [],
    "drained_after": 1.0,
}


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({}, []),
        ({"effects": Counter([1])}, ["1 effects are lost, like [2]"]),
        ({"effects": Counter([1, 1, 2])}, ["1 effects happened twice, like [1]"]),
        ({"addressees": set()}, ["1 mails are lost, like to ['ada@example.com']"]),
        ({"tries": {"<1@x>": 1}}, ["1 mails went out more often than they were tried"]),
        ({"recorded": set()}, ["1 mails went out that are not recorded as sent"]),
        ({"dead": ["count_once 1: failed"]}, ["jobs died: ['count_once 1: failed']"]),
        ({"drained_after": None}, ["not drained in time: []"]),
        ({"promises": Promises({1}, set(), Counter({500: 1}))}, ["pages answered [500]"]),
    ],
)
def test_checker_detects_each_kind_of_error(bad, problem):
    assert problems(Evidence(**GOOD | bad)) == problem
