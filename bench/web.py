"""The server's processor time for one request, and for a sign-in."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from random import Random

from bench.figure import CORES, Effort, Figure, interleaved
from bench.load import Clients, ask, request
from bench.servers import BASELINE, OURS, Server, copy_pages, served
from bench.workspace import PASSWORD, Browser, Workspace, address_of, hasher

AT_ONCE = 2 * CORES


# What the first user's program comes with, and where the list goes on in the middle: a token, a key and a cursor.
CREDENTIALS = """
import json
from datetime import UTC, datetime
from app.core.principal import Principal
from app.users.services.search import Position
from app.users.permissions import USERS_READ
from app.unit_of_work import unit_of_work
from app.web.cursors import write_cursor
from app.api.schemas import UsersQuery
from sqlalchemy import text
from wsgi import app
GIVE_ROLE = "INSERT OR IGNORE INTO user_roles (user_id, role_id) SELECT 1, id FROM roles WHERE name = 'administrator'"
with app.test_request_context(), unit_of_work() as work:
    now = datetime.now(UTC)
    work.session.execute(text(GIVE_ROLE))
    owner = Principal(1, "", "", now, (), frozenset([USERS_READ]), 0, now, now)
    key = work[ApiKeys].create_key(owner, name="bench", scopes=["account:read", USERS_READ], expires_at=None)[1]
    of = UsersQuery().model_dump(include={{"q", "role", "status", "seen_before", "sort"}})
    cursor = write_cursor(Position(datetime(2026, 1, 1, tzinfo=UTC), {before}), of=of)
print(json.dumps({{"key": key, "cursor": cursor}}))
"""


def requests(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    """One worker on either side."""
    yield from _requests(workspace, effort, "")


def requests_without_redis(workspace: Workspace, effort: Effort) -> Iterator[Figure]:
    with workspace.without_redis():
        yield from _requests(workspace, effort, ", without Redis")


def _requests(workspace: Workspace, effort: Effort, where: str) -> Iterator[Figure]:
    far = effort.many_listed // 2
    workspace.add_users(effort.many_listed)
    credentials = json.loads(workspace.run([sys.executable, "-c", CREDENTIALS.format(before=far)]))
    with ExitStack() as stack:
        ours = stack.enter_context(served(workspace, OURS))
        cookies = copy_pages(workspace, ours.port)
        key, token, cursor = credentials["key"], access_token(ours.port), credentials["cursor"]
        baseline = stack.enter_context(served(workspace, BASELINE))
        clients = stack.enter_context(Clients(AT_ONCE))
        users = "/api/v1/users"
        for what, bare, asked, target in (
            ("sign-in page", "/login", request("GET", "/auth/login"), 4.0),
            ("signed-in account page", "/account/1", request("GET", "/account", cookies=cookies), 1.6),
            ("one user, access token", "/users/1", request("GET", f"{users}/1", bearer=token), 1.9),
            ("one user, API key", "/users/1", request("GET", f"{users}/1", bearer=key), None),
            ("50 users, access token", "/users", request("GET", users, bearer=token), 2.8),
            ("50 users, API key", "/users", request("GET", users, bearer=key), None),
            (
                f"50 of {effort.many_listed:,} users from the middle",
                f"/users?before={far}",
                request("GET", f"{users}?cursor={cursor}", bearer=token),
                6.9,
            ),
        ):

            def milliseconds(server: Server, message: str) -> float:
                before = server.processor_seconds()
                answers = clients.load(server.port, [message], seconds=effort.seconds, status=200)
                return 1000 * (server.processor_seconds() - before) / answers.count

            figures = interleaved(
                effort.rounds,
                partial(milliseconds, baseline, request("GET", bare)),
                partial(milliseconds, ours, asked),
            )
            yield Figure(what + where, "ms", *figures, target=target, more_is_better=False)


def access_token(port: int) -> str:
    body = json.dumps({"email": address_of(1), "password": PASSWORD})
    answer = ask(port, request("POST", "/api/v1/auth/login", body=body, kind="application/json").encode())
    return str(json.loads(answer.partition(b"\r\n\r\n")[2])["data"]["access_token"])


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

        figures = interleaved(effort.rounds, lambda: verification(effort.seconds), milliseconds)
        return Figure(f"a sign-in among {users:,} users", "ms", *figures, target=1.5, more_is_better=False)


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
