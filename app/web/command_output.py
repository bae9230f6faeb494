"""Output of commands: JSON with --json, else lines for people."""

import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

Row = TypeVar("Row")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def print_json(values: Any) -> None:
    """Print indented JSON; times are RFC 3339."""
    click.echo(json.dumps(values, indent=2, default=lambda value: value.isoformat()))


def print_list(
    rows: Iterable[Row], values: Callable[[Row], Any], line: Callable[[Row], str], *, as_json: bool, empty: str = ""
) -> None:
    """Print rows: their values as JSON, or a line for each, and `empty` if there is none."""
    items = list(rows)
    if as_json:
        print_json([values(row) for row in items])
        return
    for row in items:
        click.echo(line(row).rstrip())
    if not items and empty:
        click.echo(empty)


def print_values(values: dict[str, Any], *, as_json: bool, width: int = 20) -> None:
    """Print the values of one row, each on its line."""
    if as_json:
        print_json(values)
        return
    for name, value in values.items():
        text = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        click.echo(f"{name:<{width}} {text}".rstrip())
