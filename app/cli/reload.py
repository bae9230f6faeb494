"""Detects changes of the code and the settings in development."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from dotenv import dotenv_values, find_dotenv

from app.settings import ROOT

CODE = ("app", "migrations")
SINGLE_FILES = ("wsgi.py", "gunicorn.conf.py")
WITHOUT_CODE = {"__pycache__", "static", "templates"}
SETTINGS_FILES = (".env", ".flaskenv")


class Watch:
    """Compares modification times; with a few hundred files this takes a millisecond or two."""

    def __init__(self) -> None:
        self._settings_files = [found for name in SETTINGS_FILES if (found := _settings_file(name))]
        # Read now: once a file has changed, nothing else says which variables came from it.
        self._given = {name: value for file in self._settings_files for name, value in dotenv_values(file).items()}
        self._seen = self._look()

    def changed(self) -> list[Path]:
        """The files that were added, removed or changed since the last call."""
        before, self._seen = self._seen, self._look()
        return sorted({Path(path) for path, _ in before.items() ^ self._seen.items()})

    def touches_settings(self, changed: list[Path]) -> bool:
        return any(str(path) in self._settings_files for path in changed)

    def environment_without_files(self) -> dict[str, str]:
        """The environment without the variables that the settings files have added."""
        return {name: value for name, value in os.environ.items() if self._given.get(name) != value}

    def _look(self) -> dict[str, int]:
        return dict(_modified([*self._settings_files, *_code()]))


def _settings_file(name: str) -> str:
    """Where the `flask` command finds `name`: in this folder or above; in this folder if there is none yet."""
    return find_dotenv(name, usecwd=True) or str(Path.cwd() / name)


def _code() -> Iterator[str]:
    for name in SINGLE_FILES:
        yield str(ROOT / name)
    for top in CODE:
        for folder, folders, files in os.walk(ROOT / top):
            folders[:] = [each for each in folders if each not in WITHOUT_CODE]
            yield from (f"{folder}/{file}" for file in files if file.endswith(".py"))


def _modified(paths: list[str]) -> Iterator[tuple[str, int]]:
    for path in paths:
        try:
            yield path, os.stat(path).st_mtime_ns  # noqa: PTH116 - a Path for each file would double the time
        except FileNotFoundError:
            continue
