"""Users, created with the same service as by the command line."""

from __future__ import annotations

from dataclasses import dataclass

from flask import Flask

from app.extensions import credentials
from app.principal import NOWHERE
from app.services.audit import Origin
from app.unit_of_work import unit_of_work


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
        """Somebody with a confirmed address and a known password."""
        with self._app.app_context():
            prepared = credentials.policy.prepare(password, words=())
            with unit_of_work(origin=Origin(NOWHERE, entry_point="test")) as work:
                user = work.users.create(email=email, name=name, roles=roles, password=prepared)
            return Person(id=user.id, email=email, name=name, password=password)
