"""The code of two guides works as written in a copy of the tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.core.settings import ROOT
from tests.support.tree import copy_of_the_tree, run

BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"^\*\*(?P<path>\S+)\*\*$", re.MULTILINE)


@dataclass(frozen=True)
class Step:
    """A code block of the guide; `path` is the file name above it, None for commands."""

    language: str
    body: str
    path: str | None


@pytest.mark.slow
@pytest.mark.deep
@pytest.mark.parametrize("guide", ["add-a-feature.md", "add-a-user-field.md"])
def test_guide_works_as_written(tmp_path: Path, guide: str) -> None:
    tree = copy_of_the_tree(tmp_path / "gatehouse")
    follow_all((ROOT / "docs" / guide).read_text(), tree)


@pytest.mark.parametrize("text", ["```diff\n+new\n```\n", "**a.py**\n\n```diff\n here\n+new\n```\n"])
def test_guide_step_that_does_not_fit_the_tree_fails(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("gone\n")

    with pytest.raises(AssertionError):
        follow_all(text, tmp_path)


def steps(text: str) -> Iterator[Step]:
    """Return the blocks in order. A block without a file name belongs to the file named before it."""
    named = [(match.start(), match["path"].replace("\\", "")) for match in FILE_NAME.finditer(text)]
    for block in BLOCK.finditer(text):
        above = [path for start, path in named if start < block.start()]
        is_command = block["language"] == "sh"
        assert is_command or above, f"no file name stands above: {block['body']}"
        yield Step(block["language"], block["body"], None if is_command else above[-1])


def follow_all(text: str, tree: Path) -> None:
    for step in steps(text):
        follow(step, tree)


def follow(step: Step, tree: Path) -> None:
    if step.path is None:
        for command in step.body.splitlines():
            run(command, tree)
    elif step.language == "diff":
        change(tree / step.path, step.body)
    else:
        assert not (tree / step.path).exists(), f"{step.path} already exists"
        (tree / step.path).parent.mkdir(parents=True, exist_ok=True)
        (tree / step.path).write_text(step.body)


def change(file: Path, diff: str) -> None:
    """Apply a diff: lines marked ` ` and `-` must appear once, and are replaced by those marked ` ` and `+`. Editors
    remove the mark of an empty line.
    """
    lines = [line if line.strip() else f" {line.lstrip(' ')}" for line in diff.splitlines(keepends=True)]
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    content = "\n" + file.read_text()
    assert content.count("\n" + before) == 1, f"{file.name} does not have these lines exactly once:\n{before}"
    file.write_text(content.replace("\n" + before, "\n" + after)[1:])
