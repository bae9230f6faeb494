"""A CSV reader for files from spreadsheets, with constant memory."""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from app.core.csv_cells import unquoted
from app.imports.errors import UnreadableFile

MAX_RECORD_BYTES = 64 * 1024
MAX_BROKEN_ROWS = 1000
DELIMITERS = ",;\t|"
# Files that are something else, whatever they are called.
SIGNATURES = {
    b"PK\x03\x04": "an Excel or ZIP file",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip file",
    b"\x89PNG": "a picture",
    b"{\\rtf": "a text document",
}
ENDINGS = (".csv", ".tsv", ".txt")
MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
HINT = re.compile(r'"?sep=([^"\n])"?[ \r\n]*', re.IGNORECASE)  # Excel's line that names the delimiter.
_TOO_LONG = "\0too long\0"


@dataclass(frozen=True, slots=True)
class Record:
    """A row: its number in the file (the header is 1), its cells by column, or its problem."""

    number: int
    cells: dict[str, str]
    problem: str | None = None


class _Broken(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Table:
    columns: tuple[str, ...]
    records: Iterator[Record]


def read_table(pieces: Iterable[bytes]) -> Table:
    """Read UTF-8 or UTF-16 with commas, semicolons, tabs or bars; yield the columns that the first row names.

    Column names are trimmed and in lower case. Raises UnreadableFile, also while records are read.
    """
    lines = _lines(iter(pieces))
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        raise UnreadableFile("The file is empty.")
    delimiter = _delimiter(first)
    hint = HINT.fullmatch(first)
    rows = _rows(lines, hint[1]) if hint else _rows(chain([first], lines), delimiter)
    names = [name.strip().lower() for name in next(rows, None) or ()]
    named = [name for name in names if name]  # Spreadsheets write empty columns at the end.
    if len(set(named)) != len(named) or not named:
        raise UnreadableFile("The first row must contain the column names, each once.")
    return Table(tuple(named), _records(rows, names))


def check_file_name(name: str) -> None:
    """Check the extension; the content is checked later. Raises UnreadableFile."""
    if not name.lower().endswith(ENDINGS):
        raise UnreadableFile("Choose a CSV file (.csv, .tsv or .txt). A spreadsheet program saves one as “CSV UTF-8”.")


def _records(rows: Iterator[list[str] | None], names: Sequence[str]) -> Iterator[Record]:
    broken = 0
    for number, cells in enumerate(rows, start=2):
        if cells is None:
            broken += 1
            if broken > MAX_BROKEN_ROWS:
                raise UnreadableFile(f"More than {MAX_BROKEN_ROWS:,} rows cannot be read. Is this a CSV file?")
            yield Record(number, {}, "The row is too long, or a quotation mark is missing.")
        elif len(cells) > len(names) and any(cells[len(names) :]):
            yield Record(number, {}, f"The row has {len(cells)} cells, the first row {len(names)}.")
        elif any("\0" in cell for cell in cells):
            yield Record(number, {}, "The row contains control characters.")
        elif any(cell.strip() for cell in cells):
            padded = [*cells, *[""] * (len(names) - len(cells))]
            cells_of = {name: unquoted(cell.strip()) for name, cell in zip(names, padded, strict=False) if name}
            yield Record(number, cells_of)


def _rows(lines: Iterator[str], delimiter: str) -> Iterator[list[str] | None]:
    """Yield the cells of each row, or None for an unreadable row; reading continues with the next line."""
    again: deque[str] = deque()
    held: list[str] = []

    def feed() -> Iterator[str]:
        size = 0
        while (line := again.popleft() if again else next(lines, None)) is not None:
            size = len(line) + (size if held else 0)
            held.append(line)
            if line is _TOO_LONG or size > MAX_RECORD_BYTES:
                raise _Broken
            yield line

    while True:
        try:
            for row in csv.reader(feed(), delimiter=delimiter, strict=True):
                held.clear()
                yield row
            return
        except (_Broken, csv.Error):
            again.extendleft(reversed(held[1:]))
            held.clear()
            yield None


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    """Yield lines with their ends; an overlong one is `_TOO_LONG`."""
    head = next(pieces, b"")
    encoding, mark = _encoding(head)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)("strict"), translate=True)
    rest, skips = "", False
    is_first = True
    for piece in chain([head[len(mark) :]], pieces, [None]):
        try:
            rest += decoder.decode(piece or b"", final=piece is None)
            if is_first and rest:
                rest, is_first = rest.lstrip("\ufeff"), False  # Some programs write the mark twice.
        except UnicodeDecodeError:
            raise UnreadableFile("The file is not UTF-8 or UTF-16. Save it as “CSV UTF-8”.") from None
        *whole, rest = rest.split("\n")
        for line in whole:
            yield _TOO_LONG if skips or len(line) > MAX_RECORD_BYTES else f"{line}\n"
            skips = False
        if len(rest) > MAX_RECORD_BYTES:
            rest, skips = "", True
    rest = rest.rstrip("\x1a")  # Ctrl-Z ended files once.
    if rest or skips:
        yield _TOO_LONG if skips else rest


def _encoding(head: bytes) -> tuple[str, bytes]:
    """Return the encoding and the byte order mark. Raises UnreadableFile for anything but text."""
    for signature, kind in SIGNATURES.items():
        if head.startswith(signature):
            raise UnreadableFile(f"This is {kind}, not a CSV file. Save it as “CSV UTF-8” and try again.")
    for mark, encoding in MARKS.items():
        if head.startswith(mark):
            return encoding, mark
    sample = head[:4096]
    if b"\0" not in sample:
        return "utf-8", b""
    # Text in UTF-16 without its mark: every other byte of most scripts' commas, digits and Latin letters is zero.
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if max(even, odd) > len(sample) // 4 and min(even, odd) * 10 < max(even, odd):
        return ("utf-16-be" if even > odd else "utf-16-le"), b""
    raise UnreadableFile("This is not a text file. Save it as “CSV UTF-8” and try again.")


def _delimiter(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    return max(DELIMITERS, key=bare.count)
