"""Benchmarks of obmalloc: what a Python program takes, holds and gives back, and how fast.

    PYTHONPATH=Tools python3 -m obmallocbench obj --stock PYTHON --patched PYTHON --report FOLDER

The modules, each uses only those above it:

    errors        the one exception whose text is for the user
    scenarios     which workloads there are, and which phases bound the first free
    machine       facts about the machine, the repository and each interpreter
    running       one process: timed from outside, or sampled over its lifetime
    experiment    the arms, run in turn, gathered in one document
    document      the document's form; reading it and writing it whole
    figures       medians, paired ratios, noise
    table         the figures as plain text
    bars          PASS or FAIL
    picture       the figures as SVG and PNG (needs Matplotlib)
    __main__      the command line

The workloads are scripts of their own, in the folder workloads, that any interpreter runs alone.
"""
