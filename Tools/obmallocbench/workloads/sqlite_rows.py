"""SQLite: all rows of a table are fetched, grouped and dropped; the groups' sums are kept.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import os
import random
import shutil
import sqlite3
import tempfile

import measure

SEED = 2005
CUSTOMERS = 3000


def fill(connection, rows):
    """Make the table, of so many (int) rows."""
    draw = random.Random(SEED).random
    connection.execute("create table sale (number integer, customer text, article text, "
                       "price real, note text)")
    connection.executemany("insert into sale values (?, ?, ?, ?, ?)", (
        (1000 + number, "customer %d" % int(draw() * CUSTOMERS), "article %d" % int(draw() * 50000),
         draw() * 100, "n" * int(draw() * 50)) for number in measure.integers(rows)))
    connection.commit()


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"rows": 250000, "idle": ""})
    folder = tempfile.mkdtemp()
    try:
        connection = sqlite3.connect(os.path.join(folder, "sales"))
        fill(connection, parameters["rows"])
        recorder = measure.begin("sqlite_rows")
        rows = connection.execute("select * from sale").fetchall()
        recorder.mark("fetched")
        sums = {}
        for number, customer, article, price, note in rows:
            sums[customer] = sums.get(customer, 0) + price
        del rows, number, customer, article, price, note
        recorder.mark("dropped")
        connection.close()
    finally:
        shutil.rmtree(folder)
    recorder.end(parameters, {"customers": len(sums)})


main()
