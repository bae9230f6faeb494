"""Users created by the service that the command line uses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flask import Flask

from app.auth.password_setup import credentials
from app.auth.services.password_policy import NewPassword
from app.core.principal import NO_VISIT, OPERATOR, Origin
from app.settings import Settings
from app.unit_of_work import unit_of_work

PREPARED: dict[tuple[str, int, int, int], NewPassword] = {}


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    email: str
    name: str
    password: str


class People:
    def __init__(self, app: Flask) -> None:
        self._app = app

    def add(
        self,
        email: str,
        *,
        name: str = "",
        password: str = "a quieter harbour",
        roles: tuple[str, ...] = (),
    ) -> Person:
        """Add a user with a confirmed address and a known password."""
        return self.add_all([{"email": email, "name": name, "password": password, "roles": roles}])[0]

    def add_all(self, persons: Iterable[dict[str, Any]]) -> list[Person]:
        """Add several users in one transaction; each dict holds arguments of `add`."""
        added = []
        with self._app.app_context(), unit_of_work(origin=Origin(NO_VISIT, entry_point="test")) as work:
            for person in persons:
                password = person.get("password", "a quieter harbour")
                user = work.users.create(
                    email=person["email"],
                    name=person.get("name", ""),
                    roles=person.get("roles", ()),
                    password=self._prepared(password),
                    by=OPERATOR,
                )
                added.append(Person(id=user.id, email=user.email, name=user.name, password=password))
        return added

    def _prepared(self, password: str) -> NewPassword:
        """Return the hashed password, hashed once for each set of parameters."""
        settings: Settings = self._app.extensions["settings"]
        key = (password, settings.argon2_memory_kib, settings.argon2_time_cost, settings.argon2_parallelism)
        if key not in PREPARED:
            PREPARED[key] = credentials.policy.prepare(password, words=())
        return PREPARED[key]
