"""Benchmarks of obmalloc: what a Python program takes, holds and gives back, and how fast.

    PYTHONPATH=Tools python3 -m obmallocbench obj --stock PYTHON --patched PYTHON --report FOLDER

The modules, each uses only those above it, and Tools/shared:

    errors               the one exception whose text is for the user
    scenarios            which workloads there are, and what must come out
    machine              facts about the machine, the repository and each interpreter
    running              one process: timed from outside, or sampled over its lifetime
    callgrind            one process under valgrind, and reading its profile
    experiment           the arms of obj, run in turn, gathered in one document
    memory               the memory scenarios, gathered in one document
    instructions         the allocation-heavy programs, gathered in one document
    native               the C programs, compiled when wanted
    replay               traces replayed against allocators, gathered in one document
    document             the documents' forms; reading them
    journal              runs of a long measurement, appended one by one
    allocators           one table of arms: interpreters with the allocators that people give them
    comparison           every scenario under every allocator, gathered in one document
    service              a web service under each allocator, gathered in one document
    field                programs on real libraries under each allocator, gathered in one document
    field_suite          pyperformance on stock and patched, compared by pyperf
    recording            traces of what a program asks of its allocator
    figures              medians, paired ratios, noise
    kept                 who keeps the memory that a process has more than at its start
    table                the figures as plain text
    bars                 PASS or FAIL
    panel                what the pictures have in common
    memory_report        figures, bars and text of the memory scenarios
    instructions_report  ratios, bars and text of the programs
    replay_report        figures and text of the replays
    comparison_report    figures, tables and Markdown of the comparison
    comparison_page      its page: tables, and every run a dot
    service_report       table and picture of the service
    field_report         tables, Markdown and picture of the field
    picture              the figures as SVG and PNG (needs Matplotlib)
    __main__             the command line

The workloads are scripts of their own, in the folder workloads, that any interpreter runs alone;
those in the folder field_programs import what people use; those in the folder traced are only there
to be recorded. The folder replayer holds the C sources.
"""
