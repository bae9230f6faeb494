"""The public names are those in `tests/snapshot.txt`."""

from app import create_app
from app.settings import Settings
from tests.support.databases import SIGNING_KEY
from tests.support.snapshot import FILE, snapshot


def test_snapshot_matches_the_code(tmp_path):
    """`make snapshot` writes intended changes, which are reviewed as a diff."""
    app = create_app(Settings(environment="development", secret_key=SIGNING_KEY, instance_path=tmp_path))
    before, after = FILE.read_text().splitlines(), snapshot(app).splitlines()

    assert [line for line in before if line not in set(after)] == []
    assert [line for line in after if line not in set(before)] == []
    assert before == after
