"""Pages a second, and the processor time of a sign-in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from random import Random

from bench.figure import CORES, Effort, Figure, interleaved
from bench.load import Clients, request
from bench.servers import BASELINE, OURS, copy_pages, served
from bench.workspace import PASSWORD, Browser, Workspace, hasher

AT_ONCE = 2 * CORES


def pages(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """One worker on either side."""
    workspace.add_users(effort.users)
    with ExitStack() as stack:
        ours = stack.enter_context(served(workspace, OURS))
        cookies = copy_pages(workspace, ours.port)
        baseline = stack.enter_context(served(workspace, BASELINE))
        clients = stack.enter_context(Clients(AT_ONCE))

        def rate(port: int, path: str, sent: dict[str, str] | None = None) -> float:
            asked = [request("GET", path, cookies=sent)]
            return clients.load(port, asked, seconds=effort.seconds, status=200).per_second

        account = interleaved(
            effort.rounds, lambda: rate(baseline.port, "/account/1"), lambda: rate(ours.port, "/account", cookies)
        )
        yield Figure("signed-in account page", "requests/s", *account)
        login = interleaved(
            effort.rounds, lambda: rate(baseline.port, "/login"), lambda: rate(ours.port, "/auth/login")
        )
        yield Figure("sign-in page", "requests/s", *login)


def few_sign_ins(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    yield sign_ins(workspace, effort, users=effort.users)


def many_sign_ins(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    yield sign_ins(workspace, effort, users=effort.many_users)


def sign_ins(workspace: Workspace, effort: Effort, *, users: int) -> Figure:
    """The processor time of a whole sign-in of a random user, beside that of the one verification in it.

    Every core is busy on either side: with a worker for each, or with a thread that does nothing but verify.
    """
    workspace.add_users(users)
    with served(workspace, OURS, workers=CORES) as ours, Clients(AT_ONCE) as clients:
        browser, chance = Browser(ours.port), Random(users)

        def milliseconds() -> float:
            numbers = (chance.randint(1, users) for _ in range(AT_ONCE * 50))
            requests = [browser.sign_in_request(number) for number in numbers]
            before = ours.processor_seconds()
            answers = clients.load(ours.port, requests, seconds=effort.seconds, status=302)
            return 1000 * (ours.processor_seconds() - before) / answers.count

        found = interleaved(effort.rounds, lambda: verification(effort.seconds), milliseconds)
        return Figure(f"a sign-in among {users:,} users", "ms", *found, target=1.5, more_is_better=False)


def verification(seconds: float) -> float:
    """Milliseconds of processor time of one argon2id verification, while each core is busy with another."""
    known = hasher()
    hashed = known.hash(PASSWORD)
    done = [0] * CORES

    def work(number: int) -> None:
        while time.perf_counter() < deadline:
            known.verify(hashed, PASSWORD)
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CORES)]
    used, deadline = time.process_time(), time.perf_counter() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 1000 * (time.process_time() - used) / sum(done)
