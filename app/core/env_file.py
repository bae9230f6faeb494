"""The file that ENV_FILE names, read the same way by web, workers and commands."""

import re
from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values, find_dotenv
from dotenv.parser import Binding, parse_stream

# A line that systemd (`EnvironmentFile=`), a shell (`. FILE`) and python-dotenv read alike.
_ALIKE = re.compile(
    r"""
    [A-Za-z_]\w*=
    (?: [^\s$`\\'"&;|<>()~]* | '[^'\\]*' | "[^"\\$`]*" )
    """,
    re.VERBOSE,
)


def read_env_file(file: Path) -> dict[str, str]:
    """Return the values of `NAME=value` lines; nothing is interpolated.

    A value may be quoted; without quotes it ends at white space and `#`. Raises OSError, and ValueError for another
    line and for text that is not UTF-8.
    """
    return {binding.key: binding.value or "" for binding in _bindings(file) if binding.key}


def list_ambiguous(file: Path) -> list[str]:
    """Return names whose values systemd or a shell may read differently."""
    return [
        binding.key
        for binding in _bindings(file)
        if binding.key and not _ALIKE.fullmatch(binding.original.string.strip())
    ]


def without_loaded(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without the variables that the `flask` command loaded from `.flaskenv` and `.env`."""
    loaded: dict[str, str | None] = {}
    for name in (".flaskenv", ".env"):
        loaded |= dotenv_values(find_dotenv(name, usecwd=True))
    return {name: value for name, value in environment.items() if loaded.get(name) != value}


def _bindings(file: Path) -> list[Binding]:
    with file.open(encoding="utf-8") as stream:
        bindings = list(parse_stream(stream))
    for binding in bindings:
        if binding.error or (binding.key and binding.value is None):
            line = binding.original.line + binding.original.string[: -len(binding.original.string.lstrip())].count("\n")
            raise ValueError(f"line {line} is not NAME=value. Put a value that contains quotes or # in single quotes")
    return bindings
