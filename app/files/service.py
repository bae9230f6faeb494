"""Temporary files stored in the database in pieces."""

from collections.abc import Iterator
from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from app.core import errors
from app.core.service import Service
from app.files.models import FileChunk, StoredFile

PIECE = 1024 * 1024


class Files(Service):
    def create_file(self, *, name: str, owner_id: int | None, lives: timedelta, purpose: str = "import") -> StoredFile:
        """Create an empty file, which is invisible until finished."""
        now = self.clock()
        name = "".join(character for character in name if character.isprintable())[-255:]
        file = StoredFile(
            purpose=purpose, name=name or "file", owner_id=owner_id, size=0, created_at=now, expires_at=now + lives
        )
        self.session.add(file)
        self.session.flush()
        return file

    def append(self, file_id: int, number: int, data: bytes) -> None:
        """Append a piece; `number` counts from 0."""
        self.session.execute(insert(FileChunk), {"file_id": file_id, "number": number, "data": data})
        self._change(file_id, size=StoredFile.size + len(data))

    def finish(self, file_id: int) -> None:
        self._change(file_id, completed_at=self.clock())

    def get(self, file_id: int) -> StoredFile:
        """Raises FileNotThere for one that is unfinished, expired or unknown."""
        file = self.session.get(StoredFile, file_id, populate_existing=True)
        if file is None or file.completed_at is None or file.expires_at <= self.clock():
            raise errors.FileNotThere
        return file

    def pieces(self, file_id: int) -> Iterator[bytes]:
        """Yield pieces, one in memory at a time."""
        number = 0
        one = select(FileChunk.data).where(FileChunk.file_id == file_id)
        while (data := self.session.scalar(one.where(FileChunk.number == number))) is not None:
            yield data
            number += 1

    def delete(self, file_id: int) -> None:
        self.session.execute(delete(StoredFile).where(StoredFile.id == file_id))

    def _change(self, file_id: int, **values: object) -> None:
        self.session.execute(
            update(StoredFile)
            .where(StoredFile.id == file_id)
            .values(**values)
            .execution_options(synchronize_session=False)
        )
