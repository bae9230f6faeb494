"""Houses whose parts are killed, emptied and taken away, and a post office that does as it is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.house import House
from tests.faults.post_office import PostOffice
from tests.support.databases import copied


@pytest.fixture
def post_office() -> Iterator[PostOffice]:
    office = PostOffice()
    office.open()
    yield office
    office.close()


@pytest.fixture
def build(tmp_path, sqlite_template, post_office) -> Iterator[Callable[..., House]]:
    """Build a house whose mails go to the post office; nothing in it runs yet."""
    built: list[House] = []

    def make(**settings: Any) -> House:
        folder = tmp_path / f"house{len(built)}"
        folder.mkdir()
        copied(sqlite_template, folder)
        built.append(House(folder, **{"mail_url": post_office.url, **settings}))
        return built[-1]

    yield make
    post_office.release()
    for house in built:
        house.close()


@pytest.fixture
def house(build) -> House:
    """One with a Valkey, for a start."""
    house = build()
    house.valkey.start()
    return house
