from typing import Annotated, Any, Literal

from pydantic import Field

from app.core.resources import Count, Id, Kind, Listing, Out, Time


class ProgressOut(Out):
    done: Count
    total: Count | None = Field(description="Null if unknown.", examples=[100000])
    percent: Annotated[int, Field(ge=0, le=100)] | None = Field(examples=[40])
    per_second: float | None = Field(examples=[1200.5])
    seconds_left: Count | None = Field(examples=[50])


class JobOut(Out):
    id: Id
    kind: Kind
    arguments: Annotated[dict[str, Any], Field(description="IDs only.", examples=[{"user_id": 1}])]
    queue: Literal["urgent", "default", "bulk"]
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    is_retrying: Annotated[bool, Field(description="Waiting after a failed attempt.", examples=[False])]
    progress: ProgressOut
    attempts: Annotated[int, Field(ge=0, examples=[1])]
    max_attempts: Annotated[int, Field(ge=1, examples=[8])]
    outcome: str | None = Field(
        description="The result, or why the last attempt failed.", examples=["rows deleted: 12"]
    )
    traceback: str | None = Field(description="The traceback of the last attempt, without values.", examples=[None])
    worker: str | None = Field(description="Host and process of the last attempt.", examples=["web1:4711"])
    owner_id: int | None = Field(description="The user who caused the job.", examples=[1])
    request_id: str | None = Field(examples=["c74ad20530d07a0b4e1021ede0504bec"])
    run_after: Time
    lease_until: Time | None
    created_at: Time
    started_at: Time | None
    claimed_at: Time | None
    cancel_requested_at: Time | None
    finished_at: Time | None


class LastRunOut(Out):
    id: Id
    state: Literal["waiting", "running", "done", "dead", "cancelled"]
    outcome: str | None = Field(examples=["rows deleted: 12"])
    at: Time


class EntryOut(Out):
    name: Annotated[str, Field(examples=["purge-expired"])]
    kind: Kind
    every_seconds: Annotated[int, Field(ge=1, examples=[21600])]
    next_at: Time | None = Field(description="Null while paused.")
    paused_at: Time | None
    last: LastRunOut | None


class ScheduleOut(Out):
    items: list[EntryOut]


class JobsOut(Listing[JobOut]): ...
