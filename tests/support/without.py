"""`python -m tests.support.without [feature ...]`: run the quick tests without each feature, or those named."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from app.features import FEATURES
from tests.support.tree import copy_of_the_tree, delete_feature

# They compare the whole product with documents and lists, which are written anew after a deletion.
INVENTORIES = ("test_asvs.py", "test_docs.py", "test_permissions.py", "test_snapshot.py")
QUICK = "not deep and not slow and not browser and not postgresql"


def runs_without(name: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        tree = copy_of_the_tree(Path(folder) / "gatehouse")
        delete_feature(name, tree)
        options = ["-q", "-n", "logical", "--maxprocesses", "8", "-p", "no:cacheprovider", "--tb=line", "-m", QUICK]
        options += [f"--ignore=tests/integration/{file}" for file in INVENTORIES]
        process = subprocess.run([".venv/bin/python", "-m", "pytest", *options], cwd=tree, check=False)
    return process.returncode == 0


if __name__ == "__main__":
    failed = []
    for feature in sys.argv[1:] or FEATURES:
        print(f"── without {feature} ──", flush=True)
        if not runs_without(feature):
            failed.append(feature)
    sys.exit(f"tests fail without: {', '.join(failed)}" if failed else None)
