"""What others rely on is what `tests/snapshot.txt` says, line by line."""

from app import create_app
from app.settings import Settings
from tests.support.databases import SIGNING_KEY
from tests.support.snapshot import FILE, snapshot


def test_the_snapshot_is_what_the_code_says(tmp_path):
    """A change that is meant is written with `make snapshot`, and reviewed as lines of the difference."""
    app = create_app(Settings(environment="development", secret_key=SIGNING_KEY, instance_path=tmp_path))
    before, after = FILE.read_text().splitlines(), snapshot(app).splitlines()

    assert [line for line in before if line not in set(after)] == []
    assert [line for line in after if line not in set(before)] == []
    assert before == after
