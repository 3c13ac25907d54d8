"""Benchmarks of obmalloc: what a Python program takes, holds and gives back, and how fast.

    PYTHONPATH=Tools python3 -m obmallocbench obj --stock PYTHON --patched PYTHON --report FOLDER

The modules, each uses only those above it:

    errors               the one exception whose text is for the user
    scenarios            which workloads there are, and what must come out
    machine              facts about the machine, the repository and each interpreter
    running              one process: timed from outside, or sampled over its lifetime
    callgrind            one process under valgrind, and reading its profile
    experiment           the arms, run in turn, gathered in one document
    memory               the memory scenarios, gathered in one document
    instructions         the allocation-heavy programs, gathered in one document
    document             the documents' forms; reading them and writing them whole
    figures              medians, paired ratios, noise
    table                the figures as plain text
    bars                 PASS or FAIL
    memory_report        figures, bars and text of the memory scenarios
    instructions_report  ratios, bars and text of the programs
    picture              the figures as SVG and PNG (needs Matplotlib)
    __main__             the command line

The workloads are scripts of their own, in the folder workloads, that any interpreter runs alone.
"""
