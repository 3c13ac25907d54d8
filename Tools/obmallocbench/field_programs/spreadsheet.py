"""A spreadsheet: openpyxl fills a workbook, writes it, reads it again, and both are dropped.

After reports that openpyxl takes fifty times the file's size, and that it stays.
"""
import io

from openpyxl import Workbook, load_workbook
from openpyxl.styles import Font

import phases

COLUMNS = 10


def work(rows: int, _) -> list[str]:
    """Fill, write and read a workbook; return the texts of some cells."""
    book = Workbook()
    sheet = book.active
    for row in range(1, rows + 1):
        sheet.append([row, f"customer {row}", f"city {row % 300}"]
                     + [row * column / 7 for column in range(3, COLUMNS)])
    for cell in sheet[1]:
        cell.font = Font(bold=True)
    stream = io.BytesIO()
    book.save(stream)
    again = load_workbook(stream)
    assert again.active.max_row == rows
    return [again.active.cell(row, 2).value for row in range(1, rows + 1, 200)]


phases.run("spreadsheet", work, {"rows": 9_000})
