"""Medium requests beside libraries: sixteen threads use lxml, zlib and sqlite.

The trees, the states of compression and the pages of the database stay with the system's malloc, the texts
and lists of Python lie beside them.
"""
import sqlite3
import zlib

from lxml import etree

import phases

THREADS = 16
ENTRIES = 300               # of a document


def document(number: int) -> bytes:
    """Return the text of a feed."""
    entries = "".join(f"<entry id='e{number}-{entry}'><title>Title {entry * number % 997}</title>"
                      f"<p>{'words ' * (entry % 40)}</p></entry>" for entry in range(ENTRIES))
    return f"<feed>{entries}</feed>".encode("ascii")


def handle(numbers: range, results: list) -> None:
    """Parse documents, put what they hold into a database, pack them, and remember sums."""
    database = sqlite3.connect(":memory:")
    database.execute("create table entries (document integer, title text, body text)")
    packed = []
    for number in numbers:
        text = document(number)
        root = etree.fromstring(text)
        rows = [(number, entry.findtext("title"), entry.findtext("p")) for entry in root]
        database.executemany("insert into entries values (?, ?, ?)", rows)
        packed.append(zlib.compress(etree.tostring(root), 6))
        assert zlib.decompress(packed[-1]).endswith(b"</feed>")
    count, = database.execute("select count(*) from entries").fetchone()
    groups = database.execute("select title, group_concat(body) from entries group by title").fetchall()
    database.close()
    assert count == ENTRIES * len(numbers)
    results += [len(packed), len(groups)]


def work(documents: int, _) -> list[int]:
    """Have all threads handle documents; return the sums."""
    results: list[int] = []
    phases.in_threads(*((handle, range(first, documents, THREADS), results) for first in range(THREADS)))
    return results


phases.run("libraries_in_threads", work, {"documents": 640})
