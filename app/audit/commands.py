"""`flask audit`: the audit log."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

import click
from flask.cli import AppGroup

from app.audit.services.search import AuditFilter, FoundEvent
from app.core.extensions import features
from app.unit_of_work import reading
from app.users.commands import WHO
from app.web.command_output import json_option, print_json, print_list
from app.web.exports import as_csv, as_dict, as_json_lines

audit = AppGroup("audit", help="Read, export and verify the audit log.")


def _known_kind(context: click.Context, option: click.Parameter, kind: str | None) -> str | None:
    if kind is not None and kind not in features().audit_texts:
        raise click.BadParameter(f"There is no kind {kind!r}; docs/security.md lists them.")
    return kind


def filters(command: Callable[..., None]) -> Callable[..., None]:
    time = click.DateTime()
    for option in (
        click.option("--until", type=time, help="Only events before this time, in UTC."),
        click.option(
            "--since", type=time, help="Only events from this time, in UTC: 2026-12-31 or 2026-12-31T18:00:00."
        ),
        click.option("--kind", metavar="KIND", callback=_known_kind, help="Only this kind, like user.deleted."),
        click.option("--subject", type=WHO, help="The affected user: an email address or a user ID."),
        click.option("--actor", type=WHO, help="The actor: an email address or a user ID."),
    ):
        command = option(command)
    return command


@audit.command(name="list")
@filters
@click.option("--limit", default=50, type=click.IntRange(1, 10_000))
@json_option
def list_events(limit: int, as_json: bool, **criteria: Any) -> None:
    """List audit events, newest first."""
    events = reading().audit_search.page(_filter(**criteria), limit=limit)
    print_list(events, as_dict, _line, as_json=as_json, empty="No events.")


def _line(event: FoundEvent) -> str:
    who = event.actor or ("-" if event.actor_id is None else f"user {event.actor_id}")
    whom = event.subject or ("-" if event.subject_id is None else f"user {event.subject_id}")
    return f"{event.id:>8}  {event.at:%Y-%m-%d %H:%M:%S}  {who} > {whom}  {as_dict(event)['sentence']}"


@audit.command()
@filters
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="jsonl", help="Default: JSON Lines.")
@click.argument("file", type=click.File("w", lazy=True, encoding="utf-8"), default="-")
def export(form: str, file: TextIO, **criteria: Any) -> None:
    """Write audit events, newest first, to a file or standard output."""
    events = reading().audit_search.walk(_filter(**criteria))
    file.writelines((as_csv if form == "csv" else as_json_lines)(events))


@audit.command()
@json_option
def head(as_json: bool) -> None:
    """Print the hash of the last seal.

    Store it elsewhere, and compare it later with `flask audit verify --head`.
    """
    seal_hash, last_id = reading().audit_chain.head()
    if as_json:
        print_json({"head": seal_hash, "last_id": last_id})
    else:
        click.echo(f"{seal_hash} {last_id}")


@audit.command()
@click.option("--head", metavar="HASH", help="A head printed earlier by `flask audit head`.")
@json_option
def verify(head: str | None, as_json: bool) -> None:
    """Verify that no event was changed, removed or inserted.

    Names the first problem.
    """
    verdict = reading().audit_chain.verify(head=head.split()[0] if head and head.strip() else None)
    if as_json:
        names = ("problem", "checked", "pruned", "unsealed", "head")
        print_json({name: getattr(verdict, name) for name in names})
    elif verdict.problem is None:
        click.echo(f"Audit log verified: {verdict.checked} events, and {verdict.pruned} past retention.")
        click.echo(f"Not sealed yet: {verdict.unsealed} events. Last seal: {verdict.head}.")
    else:
        click.echo(f"Error: {verdict.problem}", err=True)
    if verdict.problem is not None:
        sys.exit(1)


def _filter(
    actor: str | int | None, subject: str | int | None, kind: str | None, since: datetime | None, until: datetime | None
) -> AuditFilter:
    """Return the filters. Raises UserNotFound for an unknown email address; an id is taken as it is, because its user
    may be gone.
    """
    find = reading().users.get_by_email
    return AuditFilter(
        actor_id=find(actor, deleted=True).id if isinstance(actor, str) else actor,
        subject_id=find(subject, deleted=True).id if isinstance(subject, str) else subject,
        kind=kind,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
    )
