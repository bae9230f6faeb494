"""Pages and sign-ins a second."""

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
            return clients.rate(port, [request("GET", path, cookies=sent)], seconds=effort.seconds, status=200)

        account = interleaved(
            effort.rounds, lambda: rate(baseline.port, "/account/1"), lambda: rate(ours.port, "/account", cookies)
        )
        yield Figure("signed-in account page", "requests/s", *account, target=0.8)
        login = interleaved(
            effort.rounds, lambda: rate(baseline.port, "/login"), lambda: rate(ours.port, "/auth/login")
        )
        yield Figure("sign-in page", "requests/s", *login, target=0.4)


def few_sign_ins(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    yield sign_ins(workspace, effort, users=effort.users)


def many_sign_ins(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    yield sign_ins(workspace, effort, users=effort.many_users)


def sign_ins(workspace: Workspace, effort: Effort, *, users: int) -> Figure:
    """Whole sign-ins of random users, beside threads that do nothing but hash; a worker and a thread for each core."""
    workspace.add_users(users)
    with served(workspace, OURS, workers=CORES) as ours, Clients(AT_ONCE) as clients:
        browser, chance = Browser(ours.port), Random(users)

        def rate() -> float:
            numbers = (chance.randint(1, users) for _ in range(AT_ONCE * 50))
            requests = [browser.sign_in_request(number) for number in numbers]
            return clients.rate(ours.port, requests, seconds=effort.seconds, status=302)

        found = interleaved(effort.rounds, lambda: raw_hashing(effort.seconds), rate)
        return Figure(f"sign-ins among {users:,} users", "sign-ins/s", *found, target=0.95)


def raw_hashing(seconds: float) -> float:
    """argon2id verifications a second: one thread a core, hashing outside the interpreter's lock."""
    known = hasher()
    hashed = known.hash(PASSWORD)
    done = [0] * CORES

    def work(number: int) -> None:
        while time.perf_counter() < deadline:
            known.verify(hashed, PASSWORD)
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(CORES)]
    began = time.perf_counter()
    deadline = began + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / (time.perf_counter() - began)
