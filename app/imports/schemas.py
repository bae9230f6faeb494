from typing import Annotated, Literal

from pydantic import Field

from app.core.resources import Flag, Id, Listing, Out, Time
from app.jobs.schemas import ProgressOut

OUTCOMES = Literal["new", "changed", "unchanged", "refused", "added", "updated"]

Counts = Annotated[dict[str, int], Field(description="Rows by outcome.", examples=[{"new": 3, "refused": 1}])]


class ExampleOut(Out):
    row: Id
    email: str = Field(examples=["ada@example.com"])
    outcome: OUTCOMES
    reason: str | None = Field(examples=["Duplicate of row 2."])


class RowOut(ExampleOut):
    name: str = Field(examples=["Ada Lovelace"])
    roles: Annotated[list[str], Field(examples=[["member"]])]


class ImportOut(Out):
    id: Id
    file_name: str = Field(examples=["people.csv"])
    state: Annotated[
        Literal["checking", "checked", "applying", "done", "refused", "stopped"],
        Field(description="`stopped`: cancelled or failed, and can be resumed."),
    ]
    problem: str | None = Field(description="Why the file was refused.", examples=[None])
    job_id: int | None = Field(examples=[1])
    progress: ProgressOut | None
    rows: Annotated[int, Field(ge=0, description="An estimate during the check.", examples=[4])]
    checked: Counts
    applied: Counts
    examples: Annotated[list[ExampleOut], Field(description="The first rows that are refused or changed.")]
    ignored: Annotated[list[str], Field(description="Columns that are ignored.", examples=[["shoe size"]])]
    invites: Flag
    created_at: Time
    ended_at: Time | None


class RowsOut(Listing[RowOut]): ...
