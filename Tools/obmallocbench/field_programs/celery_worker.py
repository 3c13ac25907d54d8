"""Celery: a worker with a pool of threads builds reports; the results are dropped.

After reports on workers that grow until max_memory_per_child restarts them. Broker and results are
in memory, so there is no server.
"""
import json
import logging

import celery
from celery.contrib.testing.worker import start_worker

import phases

THREADS = 4
ROWS = 6_000

application = celery.Celery("field", broker="memory://", backend="cache+memory://")
application.conf.update(task_serializer="json", result_serializer="json", accept_content=["json"],
                        worker_hijack_root_logger=False, broker_connection_retry_on_startup=False,
                        broker_transport_options={"polling_interval": 0.05})


@application.task
def report(number: int) -> str:
    """Return a report as a job does that asks a database and answers in JSON."""
    rows = [{"id": row, "name": f"customer {row * 7919 % ROWS}", "amount": row * 1.25,
             "tags": [f"tag {row % 13}", str(number)]} for row in range(ROWS)]
    sums: dict[str, float] = {}
    for row in rows:
        sums[row["tags"][0]] = sums.get(row["tags"][0], 0.0) + row["amount"]
    return json.dumps({"number": number, "rows": rows, "sums": sums})


def work(jobs: int, _) -> list[int]:
    """Have a worker do jobs, and end it; return the lengths of the results."""
    logging.disable(logging.WARNING)
    with start_worker(application, pool="threads", concurrency=THREADS, perform_ping_check=False,
                      loglevel="ERROR"):
        waiting = [report.delay(number) for number in range(jobs)]
        results = [one.get(timeout=600) for one in waiting]
        for one in waiting:
            one.forget()
    return [len(result) for result in results]


phases.run("celery_worker", work, {"jobs": 80})
