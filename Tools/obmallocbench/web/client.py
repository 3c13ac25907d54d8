"""What asks the Celery worker for jobs.

    client.py load SECONDS OUTSTANDING      so many reports at a time; writes a line of JSON with
                                            requests_per_second and p99_seconds
    client.py warm SECONDS OUTSTANDING      the same with few rows
    client.py health SECONDS                a small job a second
"""

import json
import sys
import time

import jobs

POLL_SECONDS = 0.01
ANSWER_SECONDS = 60


def load(seconds, outstanding, most):
    """Keep so many reports wanted, of so many rows; return how long each took, and all of them."""
    begin = time.monotonic()
    wanted, took = [], []
    while time.monotonic() < begin + seconds or wanted:
        while len(wanted) < outstanding and time.monotonic() < begin + seconds:
            wanted.append((time.monotonic(), jobs.report.delay(most)))
        time.sleep(POLL_SECONDS)
        for since, result in list(wanted):
            if result.ready():
                result.get()
                took.append(time.monotonic() - since)
                wanted.remove((since, result))
                result.forget()
            elif time.monotonic() > since + ANSWER_SECONDS:
                sys.exit("a job was not done")
    return took, time.monotonic() - begin


def main(what, seconds, outstanding=1):
    if what in ("load", "warm"):
        took, all_seconds = load(seconds, outstanding,
                                 jobs.reports.ROWS if what == "load" else jobs.reports.FEW_ROWS)
        print(json.dumps({"requests_per_second": len(took) / all_seconds,
                          "p99_seconds": sorted(took)[int(len(took) * 0.99)]}))
        return
    for _ in range(seconds):
        jobs.health.delay().get(timeout=ANSWER_SECONDS, interval=POLL_SECONDS)
        time.sleep(1)


main(sys.argv[1], *map(int, sys.argv[2:]))
