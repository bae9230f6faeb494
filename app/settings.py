"""The settings of the core and of all features; nothing else reads the environment."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from dotenv import dotenv_values
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.core.env_file import read_env_file, without_loaded
from app.core.settings import CoreSettings, SettingsError
from app.features import find_settings

Settings: type[CoreSettings] = type("Settings", (*find_settings(), CoreSettings), {"__module__": __name__})


def load_settings(env_file: Path = Path(".env")) -> CoreSettings:
    """Read the environment and then the file that ENV_FILE names, or else `env_file`; an empty value counts as unset.

    Raises SettingsError with one sentence for each invalid value.
    """
    named = os.environ.get("ENV_FILE")
    source = named or "The .env file"
    try:
        if named:
            written = _without_empty(read_env_file(Path(named))) | _without_empty(without_loaded(os.environ))
        else:
            written = _without_empty(dotenv_values(env_file)) | _without_empty(os.environ)
        values: dict[str, Any] = {name: value for name, value in written.items() if name in Settings.model_fields}
        return Settings.model_validate(values | _read_more(written))
    except ValidationError as refused:
        raise SettingsError("\n".join(_sentence(error) for error in refused.errors())) from None
    except OSError as problem:
        raise SettingsError(f"{source} cannot be read: {problem.strerror}.") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{source} cannot be read: it is not UTF-8 text.") from None
    except ValueError as problem:
        raise SettingsError(f"{source}: {problem}.") from None


def _without_empty(environment: Mapping[str, str | None]) -> dict[str, str]:
    """Return the non-empty values by field name. Raises SettingsError for an unknown limit."""
    values = {name.lower(): value for name, value in environment.items() if value}
    limits = [name for name in Settings.model_fields if name.startswith("limit_")]
    for name in values:
        if name.startswith("limit_") and name not in limits:  # A misspelt one would silently have no effect.
            raise SettingsError(
                f"{name.upper()} is not a rate limit. The rate limits are {', '.join(sorted(limits)).upper()}."
            )
    return values


def _read_more(written: Mapping[str, str]) -> dict[str, Any]:
    """Raises SettingsError."""
    try:
        return Settings.read_more(written)
    except ValueError as problem:
        raise SettingsError(str(problem)) from None


def _sentence(error: Any) -> str:
    """Return one error of pydantic as our sentence: the message of our checks, or the values that the field accepts."""
    name = error["loc"][0] if error["loc"] else ""
    if error["type"] != "value_error":
        return f"{name.upper()} must be {_expected(Settings.model_fields[name])}."
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{name.upper()}: {message}." if name else f"{message}."


def _expected(field: FieldInfo) -> str:
    """Describe a field's valid values: its description, its choices, or its type and range."""
    if field.description:
        return field.description
    if choices := [choice for choice in get_args(field.annotation) if isinstance(choice, str) and choice]:
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    if field.annotation is bool:
        return "1 (on) or 0 (off)"
    limits = {end: getattr(bound, end) for bound in field.metadata for end in ("ge", "gt", "le") if hasattr(bound, end)}
    limited = f"from {limits['ge']} to" if "ge" in limits else f"above {limits['gt']}, at most"
    return f"a {'whole ' if field.annotation is int else ''}number {limited} {limits['le']}"
