"""Prefork: a server loads its catalogue, forks its workers, and they answer requests and go idle.

What is resident is here what all processes together have: the sum of their proportional set sizes
(PSS), in which a page that several share counts once. A worker reads the catalogue, so it writes
reference counts and the pages come apart; it frees most of what its requests made.

Runs alone on any CPython from 2.6 on, on Linux; see measure.py for the line that it writes.
"""
import gc
import os
import random

import measure

SEED = 2005
WORKERS = 4
ENTRIES = 60                # that a request makes
KEPT = 0.02                 # of the requests are remembered
READ = 0.05                 # of the catalogue is read for the requests


def serve(catalogue, requests, number):
    """Answer so many (int) requests, holding them all as a queue would."""
    draw = random.Random(SEED + number).random
    read = max(int(len(catalogue) * READ), 1)
    first = int(draw() * (len(catalogue) - read))
    return [[(catalogue[first + int(draw() * read)], 1000 + entry, "answer %d" % entry)
             for entry in measure.integers(ENTRIES)] for request in measure.integers(requests)]


def work(catalogue, requests, number, orders, answers):
    """Do what comes through the pipe orders, one letter each: s(erve), f(ree), e(nd).

    The answer to each is a line with the CPU seconds so far.
    """
    made = []
    while True:
        order = os.read(orders, 1)
        if order == "s".encode("ascii"):
            made = serve(catalogue, requests, number)
        elif order == "f".encode("ascii"):
            made[:] = made[::int(1 / KEPT)]
            measure.trim_if_asked()
        else:
            os._exit(0)
        os.write(answers, ("%f %f\n" % measure.cpu_seconds()).encode("ascii"))


class Worker:
    """A forked process, and the pipes to it."""

    def __init__(self, catalogue, requests, number):
        orders, self.orders = os.pipe()
        self.answers, answers = os.pipe()
        self.cpu = (0.0, 0.0)
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.orders)
                work(catalogue, requests, number, orders, answers)
            finally:
                os._exit(1)
        os.close(orders)
        os.close(answers)

    def order(self, letter):
        """Have it do what a letter (str) says."""
        os.write(self.orders, letter.encode("ascii"))

    def wait(self):
        """Wait until it has done so."""
        words = os.read(self.answers, 100).split()
        if len(words) != 2:
            raise OSError("a worker ended")
        self.cpu = (float(words[0]), float(words[1]))


class Family(measure.Recorder):
    """Measures this process and its workers together."""

    def __init__(self, scenario):
        self.workers = []
        self.greatest = 0
        measure.Recorder.__init__(self, scenario)

    def memory(self):
        """Return the sum of the proportional set sizes, called rss_bytes as everywhere."""
        texts = [measure.read_text("/proc/%s/smaps_rollup" % pid)
                 for pid in ["self"] + [worker.pid for worker in self.workers]]
        total = sum([measure.kibibyte_field(text, "Pss") or 0 for text in texts])
        self.greatest = max(self.greatest, total)
        return {"rss_bytes": total}

    def peak(self):
        return self.greatest

    def cpu(self):
        every = [measure.cpu_seconds()] + [worker.cpu for worker in self.workers]
        return [sum([times[part] for times in every]) for part in (0, 1)]

    def have_all(self, letter):
        """Have all workers do what a letter says, at the same time, and wait for them."""
        for worker in self.workers:
            worker.order(letter)
        for worker in self.workers:
            worker.wait()


def main():
    """Run the phases, and write the line."""
    parameters = measure.options({"articles": 300000, "requests": 2000, "idle": ""})
    catalogue = [(1000 + number, "article %d" % number)
                 for number in measure.integers(parameters["articles"])]
    gc.collect()
    if hasattr(gc, "freeze"):
        gc.freeze()
    family = Family("prefork")
    family.mark("base")
    family.workers = [Worker(catalogue, parameters["requests"], number)
                      for number in measure.integers(WORKERS)]
    family.mark("forked")
    family.have_all("s")
    family.mark("served")
    family.have_all("f")
    family.mark("freed")
    family.rest(parameters)
    family.finish(parameters)
    for worker in family.workers:
        worker.order("e")
        os.waitpid(worker.pid, 0)


main()
