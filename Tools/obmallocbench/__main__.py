"""The command line of obmallocbench.

    obj           run the scenario, print the table, write FOLDER/obj.json, obj.svg, obj.png
    memory        run all memory scenarios, print table and verdicts, write FOLDER/memory.json
    survivors, sessions, burst, cycles
                  run one of them, write FOLDER/<its name>.json
    instructions  count instructions of allocation-heavy programs under valgrind, print table and
                  verdicts, write FOLDER/instructions.json
    draw          draw the picture of a report of obj again, without running anything
    check         say PASS or FAIL for each bar of a report

Exit status: 0; 1 when a bar is not cleared (--check, check); 2 when something went wrong, one line
on standard error says what; 130 when interrupted.
"""
from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from pathlib import Path

from . import (bars, callgrind, document, experiment, instructions, instructions_report, machine,
               memory, memory_report, picture, table)
from .errors import BenchmarkError
from .scenarios import (MEMORY_SCENARIOS, MIXED, PROGRAM_NAMES, PROGRAMS, SCENARIOS,
                        MemoryScenario, Scenario)

NOT_CLEARED, FAILED, INTERRUPTED = 1, 2, 130
LIMIT_SECONDS = 600.0
RUNS = 11


class Parser(argparse.ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str):
        """End with status 2 and the message; --help has the usage."""
        self.exit(FAILED, f"obmallocbench: {message} (--help says more)\n")


def number_from(least: int):
    """Return a function that reads an int no smaller than least from text, for argparse."""
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{value} is less than {least}")
        return value
    return number


def add_comparison(commands, name: str, words: str) -> Parser:
    """Add a command that compares two interpreters and return its parser."""
    command = commands.add_parser(name, help=words, allow_abbrev=False)
    command.add_argument("--stock", required=True, metavar="PYTHON", help="what to compare with")
    command.add_argument("--patched", required=True, metavar="PYTHON", help="what to compare")
    command.add_argument("--report", required=True, metavar="FOLDER", type=Path,
                         help="where the files go; made if need be")
    command.add_argument("--limit", type=float, default=LIMIT_SECONDS, metavar="SECONDS",
                         help=f"end a run that takes longer (default {LIMIT_SECONDS:g})")
    command.add_argument("--check", action="store_true",
                         help="say PASS or FAIL for each bar, and end with 1 if one is not cleared")
    return command


def add_options(command: Parser, options: dict[str, int]) -> None:
    """Add what a workload takes."""
    for name, default in options.items():
        command.add_argument(f"--{name.replace('_', '-')}", dest=name, type=number_from(1),
                             default=default, metavar="N", help=f"default {default}")


def add_scenario(commands, scenario: Scenario) -> None:
    """Add the command that runs a scenario."""
    command = add_comparison(commands, scenario.name, f"run the scenario {scenario.title}")
    command.set_defaults(function=run_scenario, scenario=scenario)
    least = experiment.DISCARDED + 1
    command.add_argument("--runs", type=number_from(least), default=RUNS, metavar="N",
                         help=f"runs of each arm, the first is not counted (default {RUNS})")
    add_options(command, scenario.options)
    command.add_argument("--picture", action=argparse.BooleanOptionalAction, default=None,
                         help="insist on the picture, or skip it; by default it is drawn if "
                              "Matplotlib is there")


def add_memory(commands, name: str, scenarios: list[MemoryScenario], words: str) -> None:
    """Add a command that runs memory scenarios; one alone can be given other parameters."""
    command = add_comparison(commands, name, words)
    command.set_defaults(function=run_memory, scenarios=scenarios, stem=name)
    command.add_argument("--runs", type=number_from(1), default=None, metavar="N",
                         help="runs of each arm (by default as many as the scenario needs)")
    if len(scenarios) == 1:
        add_options(command, scenarios[0].options)


def add_instructions(commands) -> None:
    """Add the command that counts instructions."""
    command = add_comparison(commands, "instructions",
                             "count instructions of allocation-heavy programs (needs valgrind)")
    command.set_defaults(function=run_instructions)
    size = PROGRAMS.options["size"]
    command.add_argument("--size", type=number_from(1), default=size, metavar="N",
                         help=f"objects that each program allocates (default {size})")
    names = (*PROGRAM_NAMES, MIXED)
    command.add_argument("--programs", nargs="+", choices=names, default=names, metavar="NAME",
                         help=f"some of: {', '.join(names)}; without all of the first ten their "
                              "means are of those that ran")


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(prog="obmallocbench", description=__doc__.splitlines()[0], allow_abbrev=False)
    commands = result.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for scenario in SCENARIOS.values():
        add_scenario(commands, scenario)
    everything = list(MEMORY_SCENARIOS.values())
    add_memory(commands, "memory", everything, "run all memory scenarios")
    for scenario in everything:
        add_memory(commands, scenario.name, [scenario], f"run the scenario {scenario.title}")
    add_instructions(commands)
    for name, function, words in (("draw", run_draw, "draw the picture of a report again"),
                                  ("check", run_check, "say PASS or FAIL for each bar of a report")):
        command = commands.add_parser(name, help=words, allow_abbrev=False)
        command.set_defaults(function=function)
        command.add_argument("file", type=Path, metavar="JSON", help="a report, such as obj.json")
    return result


CHECKS = {experiment.FORMAT: bars.check, memory.FORMAT: memory_report.check,
          instructions.FORMAT: instructions_report.check}


class Progress:
    """One line on the terminal that is written over; nothing when the output is not a terminal."""

    def __init__(self, stream=sys.stderr):
        self.stream = stream
        self.shown = stream.isatty()

    def __call__(self, text: str) -> None:
        if self.shown:
            self.stream.write(f"\r\x1b[K{text}")
            self.stream.flush()


def name_files(written: list[Path]) -> None:
    """Print the files written, the last lines of every run."""
    print("\nWritten:", *written, sep="\n  ")


def print_bars(report: dict) -> int:
    """Print a verdict for each bar and return the exit status."""
    verdicts = CHECKS[report["format"]](report)
    width = shutil.get_terminal_size().columns
    for bar in verdicts:
        print(textwrap.fill(str(bar), width, subsequent_indent="      "))
    return 0 if all(bar.cleared for bar in verdicts) else NOT_CLEARED


def add_picture(options: argparse.Namespace, report: Path, written: list[Path]) -> int:
    """Draw the picture as the options ask, note its files in written, return the exit status."""
    if options.picture is False:
        return 0
    try:
        written += picture.picture_of(report)
    except BenchmarkError as error:
        print(f"obmallocbench: {error}; then: obmallocbench draw {report}", file=sys.stderr)
        return FAILED if options.picture else 0
    return 0


def measure(options: argparse.Namespace, stem: str, work) -> tuple[dict, Path]:
    """Have work measure, write what it returns to the file called stem, return both.

    work: from the descriptions of the interpreters, and what to call with progress, to a document.
    """
    interpreters = {"stock": machine.describe_interpreter(options.stock),
                    "patched": machine.describe_interpreter(options.patched)}
    progress = Progress()
    with document.report_folder(options.report) as folder:
        try:
            result = work(interpreters, progress)
        finally:
            progress("")
        report = folder / f"{stem}.json"
        document.write(report, result)
    return result, report


def run_scenario(options: argparse.Namespace) -> int:
    """Run a scenario from beginning to end and return the exit status."""
    scenario = options.scenario
    parameters = {name: getattr(options, name) for name in scenario.options}
    result, report = measure(options, scenario.name, lambda interpreters, progress: (
        experiment.run_experiment(scenario, parameters, interpreters, options.runs,
                                  options.limit, progress)))
    print(table.text(result, shutil.get_terminal_size().columns))
    status = 0
    if options.check:
        print()
        status = print_bars(result)
    written = [report]
    status = add_picture(options, report, written) or status
    stale = [path for path in picture.paths(options.report, scenario.name)
             if path.exists() and path not in written]
    name_files(written)
    if stale:
        print("From an earlier run, not of these figures:", *stale, sep="\n  ")
    return status


def run_memory(options: argparse.Namespace) -> int:
    """Run memory scenarios, show what they hold, and return the exit status."""
    parameters = {name: getattr(options, name) for scenario in options.scenarios
                  for name in scenario.options if hasattr(options, name)}
    result, report = measure(options, options.stem, lambda interpreters, progress: (
        memory.run_scenarios(options.scenarios, parameters, interpreters, options.runs,
                             options.limit, progress)))
    print(memory_report.text(result, shutil.get_terminal_size().columns))
    name_files([report])
    cleared = all(bar.cleared for bar in memory_report.check(result))
    return NOT_CLEARED if options.check and not cleared else 0


def run_instructions(options: argparse.Namespace) -> int:
    """Count the instructions of the programs, show them, and return the exit status."""
    callgrind.find_valgrind()
    result, report = measure(options, "instructions", lambda interpreters, progress: (
        instructions.run_programs(options.programs, interpreters, options.size, options.limit,
                                  progress)))
    print(instructions_report.text(result, shutil.get_terminal_size().columns), end="\n\n")
    status = print_bars(result)
    name_files([report])
    return status if options.check else 0


def run_draw(options: argparse.Namespace) -> int:
    """Draw the picture of a report and return the exit status."""
    if document.read(options.file)["format"] != experiment.FORMAT:
        raise BenchmarkError(f"{options.file} has no picture: only obj has one")
    name_files(picture.picture_of(options.file))
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Check the bars of a report and return the exit status."""
    return print_bars(document.read(options.file))


def main(arguments: list[str] | None = None) -> int:
    """Run the command line (without the program's name) and return the exit status."""
    options = parser().parse_args(arguments)
    try:
        return options.function(options)
    except BenchmarkError as error:
        print(f"obmallocbench: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("obmallocbench: interrupted, nothing written", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
