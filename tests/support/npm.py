"""Packages from npm for the tests: `make test-deep` installs them into tests/npm/node_modules."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.core.settings import ROOT

NPM = ROOT / "tests" / "npm"
PACKAGES = NPM / "node_modules"


def installed(package: str) -> Path:
    """Return a package's folder. Skips the test where it is not installed; in CI it fails."""
    if shutil.which("node") is None or not (PACKAGES / package).is_dir():
        reason = f"{package} is not installed: run make test-deep, with Node and npm"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return PACKAGES / package


@contextmanager
def running(command: list[str], *, log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the end of the block; yield it for reading its standard output."""
    with log.open("w") as errors:
        process = subprocess.Popen(
            command, cwd=NPM, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    with process:
        try:
            yield process
        finally:
            process.terminate()
