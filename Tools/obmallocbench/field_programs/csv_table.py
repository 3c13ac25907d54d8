"""CSV: pandas reads a table of numbers and texts, groups it, and drops it.

After reports that memory does not come back after read_csv() and del, gc.collect() or not.
"""
import random
from pathlib import Path

import pandas

import phases

SEED = 2005


def prepare(rows: int, folder: Path) -> None:
    """Write the table."""
    draw = random.Random(SEED).random
    with open(folder / "table.csv", "w", encoding="ascii") as stream:
        stream.write("id,customer,city,amount,when,note\n")
        for number in range(rows):
            stream.write(f"{number},customer {int(draw() * 30000)},city {int(draw() * 300)},"
                         f"{draw() * 1000:.2f},2026-01-{1 + number % 28:02d},"
                         f"note {int(draw() * 1e9)}\n")


def work(rows: int, folder: Path) -> dict[str, float]:
    """Read rows twice, as objects and as categories; return sums by city."""
    path = folder / "table.csv"
    table = pandas.read_csv(path, parse_dates=["when"], dtype={"note": object})
    sums = table.groupby("city")["amount"].sum().to_dict()
    names = table["customer"].str.upper().tolist()
    again = pandas.read_csv(path, dtype={"customer": "category", "city": "category"})
    assert len(again) == len(names) == rows
    return sums


phases.run("csv_table", work, {"rows": 250_000}, prepare)
