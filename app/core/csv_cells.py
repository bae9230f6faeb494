"""Cells of CSV files that no spreadsheet treats as a formula (OWASP: CSV injection)."""

import re

# A text that a spreadsheet takes for a formula is written with an apostrophe (`quoted`), and read without it.
QUOTED = re.compile(r"'+[=+\-@\t\r]")


FORMULA = re.compile(r"'*[=+\-@\t\r]")


def quoted(text: str) -> str:
    """Return `text` as a cell that no spreadsheet treats as a formula (OWASP: CSV injection)."""
    return f"'{text}" if FORMULA.match(text) else text


def unquoted(cell: str) -> str:
    return cell[1:] if QUOTED.match(cell) else cell
