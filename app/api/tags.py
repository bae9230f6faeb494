"""Groups of endpoints in the OpenAPI document."""

from typing import NamedTuple


class ApiTag(NamedTuple):
    """A group of endpoints; `place` orders them."""

    name: str
    text: str
    place: int
