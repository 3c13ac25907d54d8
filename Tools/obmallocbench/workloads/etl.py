"""ETL: a table is extracted from text, transformed by joins and groups, and loaded as text again.

Each phase makes objects of other sizes than the phase before, whose objects it drops; what the
reports of the end need is all that is kept.

Runs alone on any CPython from 2.6 on; see measure.py for the line that it writes.
"""
import csv
import os
import random
import tempfile

import measure

SEED = 2005
SHOPS = 400
FIELDS = ("number", "shop", "article", "quantity", "price", "day")


def write_source(path, rows):
    """Write the text of so many (int) rows."""
    draw = random.Random(SEED).random
    stream = open(path, "w")
    try:
        for number in measure.integers(rows):
            stream.write("%d,shop-%d,article-%d,%d,%.2f,2005-01-%02d\n" % (
                10000 + number, draw() * SHOPS, draw() * 20000, 1 + draw() * 9, draw() * 100,
                1 + draw() * 28))
    finally:
        stream.close()


def extract(path):
    """Return the rows of a file as dictionaries of text."""
    stream = open(path)
    try:
        return [dict(zip(FIELDS, row)) for row in csv.reader(stream)]
    finally:
        stream.close()


def transform(rows, shops):
    """Return typed rows, tuples joined with what is known of their shop; takes rows apart."""
    typed = []
    for place in measure.integers(len(rows)):
        row = rows[place]
        rows[place] = None
        region, discount = shops[row["shop"]]
        typed.append((int(row["number"]), region, row["article"], row["day"],
                      int(row["quantity"]) * float(row["price"]) * discount))
    return typed


def group(typed):
    """Return the sums by region and day, and by article."""
    by_day, by_article = {}, {}
    for number, region, article, day, value in typed:
        by_day[region, day] = by_day.get((region, day), 0) + value
        by_article.setdefault(article, []).append((number, value))
    return by_day, by_article


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"rows": 150000, "idle": ""})
    descriptor, path = tempfile.mkstemp(".csv")
    os.close(descriptor)
    shops = dict([("shop-%d" % number, ("region %d" % (number % 12), 1 - number % 5 * 0.01))
                  for number in measure.integers(SHOPS)])
    try:
        write_source(path, parameters["rows"])
        recorder = measure.begin("etl")
        rows = extract(path)
        recorder.mark("extracted")
        typed = transform(rows, shops)
        del rows
        recorder.mark("transformed")
        by_day, by_article = group(typed)
        del typed
        recorder.mark("grouped")
        stream = open(path, "w")
        csv.writer(stream).writerows([(article, len(sales), sum([value for _, value in sales]))
                                      for article, sales in by_article.items()])
        stream.close()
        del by_article
        recorder.mark("loaded")
    finally:
        os.remove(path)
    recorder.end(parameters, {"groups": len(by_day)})


main()
