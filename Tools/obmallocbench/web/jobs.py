"""The Celery worker that is measured: its jobs build the reports of reports.py.

Broker and results are folders in OBMALLOCBENCH_QUEUE, so there is no server.
"""

import os
from pathlib import Path

import celery
from celery.signals import worker_init, worker_process_init

import remembering
import reports

queue = Path(os.environ["OBMALLOCBENCH_QUEUE"])
for name in ("messages", "results", "control"):
    (queue / name).mkdir(exist_ok=True)

application = celery.Celery("jobs", broker="filesystem://", backend=f"file://{queue}/results")
application.conf.update(
    broker_transport_options={"data_folder_in": f"{queue}/messages", "data_folder_out": f"{queue}/messages",
                              "control_folder": f"{queue}/control", "polling_interval": 0.02},
    worker_prefetch_multiplier=1, broker_connection_retry_on_startup=False)


@worker_init.connect
def begin(**ignored):
    import telling      # not in the client

    telling.begin(reports.remembered)


@worker_process_init.connect
def begin_process(**ignored):
    remembering.begin(reports.remembered)
    begin()


@application.task
def report(most=reports.ROWS):
    return len(reports.report(most))


@application.task
def health():
    return len(reports.remembered)
