"""Reading CSV files from common tools."""

import pytest

from app.core.csv_cells import quoted, unquoted
from app.imports.csv_reader import MAX_BROKEN_ROWS, MAX_RECORD_BYTES, read_table
from app.imports.errors import UnreadableFile

BROKEN = "The row is too long, or a quotation mark is missing."


def read(content, size=None):
    """Return the columns, and each row's number with its cells or its problem."""
    content = content.encode() if isinstance(content, str) else content
    pieces = [content[i : i + size] for i in range(0, len(content), size)] if size else [content]
    table = read_table(pieces)
    return table.columns, [(record.number, record.problem or tuple(record.cells.values())) for record in table.records]


PLAIN = (("email", "name"), [(2, ("zoë@x.example", "Zoë, Inc.")), (3, ("b@x.example", "B"))])


@pytest.mark.parametrize("size", [None, 1, 3])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_every_encoding_and_separator_gives_the_same_rows(delimiter, newline, encoding, size):
    lines = ["Email, name ".replace(",", delimiter), f'zoë@x.example{delimiter}"Zoë, Inc."', f"b@x.example{delimiter}B"]
    content = newline.join(lines).encode(encoding)
    # A program reads a megabyte first, and detects the encoding from it.
    pieces = (
        [content] if size is None else [content[:20], *(content[i : i + size] for i in range(20, len(content), size))]
    )
    table = read_table(pieces)

    assert (table.columns, [(record.number, tuple(record.cells.values())) for record in table.records]) == PLAIN


def test_quoted_newlines_and_quotes_are_kept_and_blank_lines_skipped():
    assert read('email,name\n\na@x,"A\n""B"""\n\nb@x,\n') == (
        ("email", "name"),
        [(3, ("a@x", 'A\n"B"')), (5, ("b@x", ""))],
    )


def test_separator_hint_of_a_spreadsheet_is_followed():
    assert read("sep=;\nemail;name\na@x;b,c\n")[1] == [(2, ("a@x", "b,c"))]


@pytest.mark.parametrize(
    "content",
    [
        "email,name,,\na@x,A,,\n",
        ",,email,name\n,,a@x,A\n",
        "email;name;;;;\na@x;A;;;;\n",
        '"sep=;"\nemail;name\na@x;A\n',
        "sep=\t\nemail\tname\na@x\tA\n",
        "\ufeff\ufeffemail,name\na@x,A\n",
        "email,name\n , \n,\na@x,A\n",
        "email,name\na@x,A\n\x1a",
    ],
)
def test_files_of_common_tools_are_read(content):
    columns, rows = read(content)
    assert columns == ("email", "name")
    assert [cells for _, cells in rows] == [("a@x", "A")]


def test_unclosed_quote_costs_only_its_own_row():
    assert read('email,name\na@x,"open\nb@x,B\nc@x,C\n')[1] == [(2, BROKEN), (3, ("b@x", "B")), (4, ("c@x", "C"))]


@pytest.mark.parametrize("size", [None, 1000])
def test_huge_line_costs_only_its_own_row(size):
    huge = "x" * (3 * MAX_RECORD_BYTES)
    assert read(f"email,name\na@x,{huge}\nb@x,B\nc@x,{huge}", size)[1] == [(2, BROKEN), (3, ("b@x", "B")), (4, BROKEN)]


def test_multiline_quote_cannot_fill_the_memory():
    lines = "b@x,B\n" * 20_000
    _, rows = read(f'email,name\na@x,"{lines}')

    assert rows[0] == (2, BROKEN)
    assert rows[1:] == [(number, ("b@x", "B")) for number in range(3, 20_002)]


def test_file_with_too_many_broken_rows_is_refused():
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read("email,name\n" + 'a,"b"c\n' * (MAX_BROKEN_ROWS + 1))


def test_too_many_cells_are_refused_and_missing_ones_are_empty():
    rows = read("email,name\na@x,A,B\nb@x\nc@x,C,,\n")[1]

    assert rows == [(2, "The row has 3 cells, the first row 2."), (3, ("b@x", "")), (4, ("c@x", "C"))]


def test_null_byte_is_refused_with_its_row():
    assert read(b"email,name\n" + b"a@x,A\n" * 1000 + b"b@x,\0\n")[1][-1] == (
        1002,
        "The row contains control characters.",
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"PK\x03\x04" + b"\0" * 100, "an Excel or ZIP file"),
        (b"%PDF-1.7", "a PDF"),
        (b"\x00\x01\x02\x03" * 100, "not a text file"),
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"email,email\n", "each once"),
        ("email,name\nZoë,Z\n".encode("latin-1"), "not UTF-8"),
        (b"\xff\xfea\x00\n", "not UTF-8 or UTF-16"),
    ],
)
def test_invalid_file_is_refused_with_advice(content, why):
    with pytest.raises(UnreadableFile, match=why):
        read(content)


@pytest.mark.parametrize("text", ["=1+1", "+49", "-x", "@cmd", "\tx", "'=1+1", "''=x", "O'Hara", "'tis", "plain", ""])
def test_formula_cells_are_escaped_and_read_back_unchanged(text):
    assert not quoted(text).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert unquoted(quoted(text)) == text
