"""The command line of obmallocbench.

    obj           run the scenario, print the table, write FOLDER/obj.json, obj.svg, obj.png
    memory        run all memory scenarios, print table and verdicts, write FOLDER/memory.json
    survivors, sessions, burst, cycles
                  run one of them, write FOLDER/<its name>.json
    instructions  count instructions of allocation-heavy programs under valgrind, print table and
                  verdicts, write FOLDER/instructions.json
    record        record traces of what programs ask of their allocator
    replay        replay them against the core alone, print the table, write FOLDER/replay.json
    all           run many programs under many allocators, print the tables, write FOLDER/all.json,
                  all.html and all.md; goes on where it stopped
    pyperformance run pyperformance on both interpreters, print pyperf's table, write pyperf's
                  results to FOLDER/pyperformance-*.json and the table to FOLDER/pyperformance.md
    service       run web services and a Celery worker under load with their own allocator, others
                  and obmalloc preloaded, print the tables, write FOLDER/service.json,
                  service.svg, service.png
    field         run programs on libraries that people use with its own allocator, others and
                  obmalloc preloaded, print the tables, write FOLDER/field.json, field.md,
                  field.svg, field.png; goes on where it stopped
    draw          draw the picture of obj, service or field, or the page of all, again, without
                  running anything
    check         say PASS or FAIL for each bar of a report

Exit status: 0; 1 when a bar is not cleared (--check, check); 2 when something went wrong, one line
on standard error says what; 130 when interrupted.
"""
from __future__ import annotations

import sys

if sys.version_info < (3, 10):      # the modules below would not even be imported
    sys.exit("obmallocbench: Python %d.%d is too old: Python 3.10 or newer is needed, name one with "
             "PYTHON=..." % sys.version_info[:2])

import argparse
import shutil
import textwrap
from pathlib import Path
from typing import Callable, Iterable, NamedTuple

from shared import files
from shared.command import Parser, Progress, number_from, run_guarded, seconds

from . import (allocators, bars, callgrind, comparison, comparison_page, comparison_report,
               document, experiment, field, field_report, field_suite, instructions,
               instructions_report, journal, machine, memory, memory_report, picture, recording,
               replay, replay_report, service, service_report, table)
from .errors import BenchmarkError
from .scenarios import (FIELD_GROUPS, FIELD_OPTIONS, FIELD_PROGRAMS, LARGER_NAMES, MEMORY_SCENARIOS,
                        MIXED, PROGRAM_NAMES, PROGRAMS, REST_SCENARIOS, SCENARIOS,
                        TRACED, FieldProgram, MemoryScenario, Scenario)

NOT_CLEARED, FAILED = 1, 2
LIMIT_SECONDS = 600.0
RUNS = 11
ROUNDS, SAMPLES = 3, 200
ALL_RUNS, IDLE = 5, "2,10"
REPLAY_ARMS = ("core", "malloc")


def folder_name(text: str) -> Path:
    """Return the path of a folder, for argparse; an empty text is no folder, not this one."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty: name a folder")
    return Path(text)


def arm(text: str) -> replay.Arm:
    """Return the arm of a replay that text stands for, for argparse."""
    try:
        return replay.parse_arm(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def idle_seconds(text: str) -> str:
    """Return text if it is seconds that rise, with commas between, for argparse."""
    try:
        numbers = [seconds(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or sorted(set(numbers)) != numbers:
        raise argparse.ArgumentTypeError(f"{text!r}: seconds above 0 that rise, such as {IDLE}")
    return text


# What add_argument() takes, by the option's name; the order is that of --help.
Options = dict[str, dict]


def folder(words: str) -> dict:
    """Return an option that names a folder."""
    return {"required": True, "metavar": "FOLDER", "type": folder_name, "help": words}


def python(words: str) -> dict:
    """Return an option that names an interpreter."""
    return {"required": True, "metavar": "PYTHON", "help": words}


def number(words: str, default: int, least: int = 1) -> dict:
    """Return an option that is a number."""
    return {"type": number_from(least), "default": default, "metavar": "N",
            "help": f"{words} (default {default})"}


def some_of(names: Iterable[str], default: Iterable[str] | None = None, rest: str = "") -> dict:
    """Return an option that names some of several things, by default all of them."""
    names = tuple(names)
    return {"nargs": "+", "choices": names, "metavar": "NAME",
            "default": names if default is None else default,
            "help": f"some of: {', '.join(names)}{rest}"}


def switch(words: str) -> dict:
    """Return an option that is given or not."""
    return {"action": "store_true", "help": words}


def of_workload(options: dict[str, int]) -> Options:
    """Return what a workload takes."""
    return {f"--{name.replace('_', '-')}": {"dest": name, "type": number_from(1), "metavar": "N",
                                            "default": default, "help": f"default {default}"}
            for name, default in options.items()}


REPORT = {"--report": folder("where the files go; made if need be")}
LIMIT = {"--limit": {"type": seconds, "default": LIMIT_SECONDS, "metavar": "SECONDS",
                     "help": f"end a run that takes longer (default {LIMIT_SECONDS:g})"}}
TRACES = {"--traces": folder("where the traces lie, and the programs that are compiled for them"),
          "--programs": some_of(TRACED)}
INTERPRETERS = {"--stock": python("what to compare with"),
                "--patched": python("what to compare"), **REPORT}
COMPARISON = {**INTERPRETERS, **LIMIT,
              "--check": switch("say PASS or FAIL for each bar, and end with 1 if one is not "
                                "cleared")}
PICTURE = {"--picture": {"action": argparse.BooleanOptionalAction, "default": None,
                         "help": "insist on the picture, or skip it; by default it is drawn if "
                                 "Matplotlib is there"}}
AGAIN = {"--again": switch("run what was measured as well")}
FILE = {"file": {"type": Path, "metavar": "JSON", "help": "a report, such as obj.json"}}


def preloading(arms: tuple[str, ...], words: str, services: bool = False) -> Options:
    """Return what it takes to preload into an interpreter that was built without obmalloc, how often
    it runs, and where files go. arms: by default. words: what the interpreter does. services: as
    allocators.names_with()."""
    return {
        "--python": python(f"the interpreter that {words}, one built without obmalloc"),
        "--library": {"required": True, "metavar": "FILE", "type": Path,
                      "help": "obmalloc's library, to be preloaded"},
        "--packages": folder("where packages of PyPI go"),
        "--arms": some_of(allocators.names_with(library=True, patched=False, services=services), arms,
                          f"; stock always runs (default: {' '.join(arms)})"),
        "--runs": number("runs of each arm", ROUNDS), **REPORT, **PICTURE}


class Command(NamedTuple):
    """A command: a function runs it, from the options, and what the command sets besides, to the
    status."""

    name: str
    words: str
    function: Callable[[argparse.Namespace], int]
    options: Options
    sets: dict[str, object] = {}
    description: str | None = None


def scenario_command(scenario: Scenario) -> Command:
    """Return the command that runs a scenario."""
    return Command(
        scenario.name, f"run the scenario {scenario.title}", run_scenario,
        {**COMPARISON, "--runs": number("runs of each arm, the first is not counted", RUNS,
                                        experiment.DISCARDED + 1),
         **of_workload(scenario.options), **PICTURE}, {"scenario": scenario})


def memory_command(name: str, scenarios: list[MemoryScenario], words: str) -> Command:
    """Return a command that runs memory scenarios; one alone can be given other parameters."""
    return Command(
        name, words, run_memory,
        {**COMPARISON, "--runs": {"type": number_from(1), "metavar": "N",
                                  "help": "runs of each arm (by default as many as the scenario "
                                          "needs)"},
         **(of_workload(scenarios[0].options) if len(scenarios) == 1 else {})},
        {"scenarios": scenarios, "stem": name})


def commands() -> list[Command]:
    """Return all commands in the order of --help."""
    in_memory = list(MEMORY_SCENARIOS.values())
    counted = (*PROGRAM_NAMES, MIXED, *LARGER_NAMES)
    arms = allocators.names_with(library=True, patched=True)
    return [
        *map(scenario_command, SCENARIOS.values()),
        memory_command("memory", in_memory, "run all memory scenarios"),
        *(memory_command(scenario.name, [scenario], f"run the scenario {scenario.title}")
          for scenario in in_memory),
        Command("instructions", "count instructions of allocation-heavy programs (needs valgrind)",
                run_instructions, {
                    **COMPARISON,
                    "--size": number("objects that each program allocates",
                                     PROGRAMS.options["size"]),
                    "--programs": some_of(counted, rest="; without all of the first ten, or of the "
                                                        "last, their means are of those that ran"),
                    "--whole": switch("compare whole programs only: for interpreters built without "
                                      "-g, such as a distribution's, and a library preloaded into "
                                      "one")}),
        Command("record", "record traces", run_record, {
                    "--python": python("the interpreter that runs the programs, best a stock one"),
                    **TRACES, **LIMIT, "--again": switch("record what is there as well"),
                    "--name": {"help": "what the trace of a script of your own is called"},
                    "script": {"nargs": argparse.REMAINDER, "metavar": "SCRIPT ARGUMENT...",
                               "help": "a script of your own (after --), with its arguments; needs "
                                       "--name"}},
                description="Record the traces that are not there, or are of another script or "
                            "version of Python. With a script of your own: record that as "
                            "FOLDER/NAME.trace."),
        Command("replay", "replay traces against the core alone", run_replay, {
                    **TRACES,
                    "--trace": {"action": "append", "default": [], "metavar": "FILE", "type": Path,
                                "help": "replay this one in place of the programs' (may be "
                                        "repeated)"},
                    "--arms": {"nargs": "+", "type": arm, "metavar": "ARM",
                               "default": [arm(name) for name in REPLAY_ARMS],
                               "help": "core[@TREE or COMMIT][,OBM_NAME=VALUE][,retain=...], "
                                       f"malloc, {', '.join(allocators.LIBRARIES)}; the first is "
                                       f"compared with (default {' '.join(REPLAY_ARMS)})"},
                    "--sizes": {"choices": tuple(replay.SIZES), "default": "both",
                                "help": "the requests that are replayed: small, up to 512 bytes; "
                                        "medium, above that and up to 32768; by default both"},
                    "--runs": number("processes of each arm and trace", ROUNDS),
                    "--samples": number("moments at which pages are counted", SAMPLES),
                    "--instructions": switch("count instructions as well (needs valgrind, takes a "
                                             "minute or two)"),
                    **REPORT, **LIMIT}),
        Command("all", "run many programs under many allocators", run_all, {
                    **INTERPRETERS, **LIMIT,
                    "--packages": folder("where packages of PyPI go that some scenarios import"),
                    "--scenario": some_of(REST_SCENARIOS),
                    "--arm": some_of(arms, allocators.names_with(library=False, patched=True),
                                     "; stock always runs, twice a round; by default all but those "
                                     "that need --library"),
                    "--library": {"metavar": "FILE", "type": Path,
                                  "help": "obmalloc's library, for the arms that preload it"},
                    "--runs": number("runs of each arm, the first is not counted", ALL_RUNS,
                                     comparison.DISCARDED + 1),
                    "--idle": {"type": idle_seconds, "default": IDLE, "metavar": "SECONDS",
                               "help": "idle seconds after which the memory is read, with commas "
                                       f"between (default {IDLE})"},
                    **AGAIN}),
        Command(field_suite.SUITE, "run the benchmarks of CPython's developers", run_suite, {
                    **INTERPRETERS, "--venvs": folder("where it goes, and the venvs that it makes"),
                    "words": {"nargs": argparse.REMAINDER, "metavar": "ARGUMENT...",
                              "help": "for pyperformance run (after --), such as: -- --fast "
                                      "-b go,nbody"}}),
        Command(picture.SERVICE, "run services under load (needs wrk)", run_web_service, {
                    **preloading(service.ARMS, "serves", services=True), "--services": some_of(service.SERVICES),
                    **of_workload(service.OPTIONS)}),
        Command(picture.FIELD, "run programs on libraries that people use", run_field, {
                    **preloading(field.ARMS, "runs them"), **LIMIT,
                    "--programs": some_of(
                        (*FIELD_PROGRAMS, *FIELD_GROUPS), tuple(FIELD_PROGRAMS),
                        "; these stand for several: " + ", ".join(
                            f"{name} ({len(group)})" for name, group in FIELD_GROUPS.items())
                        + "; by default all"),
                    **of_workload(FIELD_OPTIONS), **AGAIN}),
        Command("draw", "draw the picture of a report again", run_draw, FILE),
        Command("check", "say PASS or FAIL for each bar of a report", run_check, FILE),
    ]


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(prog="obmallocbench", description=__doc__.splitlines()[0], allow_abbrev=False)
    parsers = result.add_subparsers(metavar="COMMAND", required=True)
    for command in commands():
        one = parsers.add_parser(command.name, help=command.words, allow_abbrev=False,
                                 description=command.description)
        for name, option in command.options.items():
            one.add_argument(name, **option)
        one.set_defaults(function=command.function, **command.sets)
    return result


CHECKS = {experiment.FORMAT: bars.check, memory.FORMAT: memory_report.check,
          instructions.FORMAT: instructions_report.check}
TEXTS = {experiment.FORMAT: table.text, memory.FORMAT: memory_report.text,
         instructions.FORMAT: instructions_report.text, replay.FORMAT: replay_report.text,
         comparison.FORMAT: comparison_report.text, document.SERVICE_FORMAT: service_report.text,
         field.FORMAT: field_report.text}


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


def present(options: argparse.Namespace, result: dict, report: Path, *others: Path,
            with_bars: bool = False) -> int:
    """Show a document, with its bars if wanted, draw the picture that its command has, name the
    files: report, the others and those of the picture; return the exit status."""
    print(TEXTS[result["format"]](result, shutil.get_terminal_size().columns))
    status = 0
    if with_bars:
        print()
        status = print_bars(result)
    written, stale = [report, *others], []
    if hasattr(options, "picture"):
        status = add_picture(options, report, written) or status
        stale = [path for path in picture.paths(report.parent, report.stem)
                 if path.exists() and path not in written]
    name_files(written)
    if stale:
        print("From an earlier run, not of these figures:", *stale, sep="\n  ")
    return status


def write_report(folder: Path, stem: str, work) -> tuple[dict, Path]:
    """Have work measure, write the document that it returns to the file called stem, return both.

    work: from what to call with progress to a document.
    """
    with document.report_folder(folder):
        with Progress() as progress:
            result = work(progress)
        report = folder / f"{stem}.json"
        files.write_json(report, result)
    return result, report


def interpreters_of(options: argparse.Namespace) -> dict[str, dict]:
    """Return the descriptions of the two interpreters that the options name."""
    return {"stock": machine.describe_interpreter(options.stock),
            "patched": machine.describe_interpreter(options.patched)}


def measure(options: argparse.Namespace, stem: str, work) -> tuple[dict, Path]:
    """Have work measure two interpreters, write what it returns, return it and the file.

    work: from the descriptions of the interpreters, and what to call with progress, to a document.
    """
    interpreters = interpreters_of(options)
    return write_report(options.report, stem, lambda progress: work(interpreters, progress))


def run_scenario(options: argparse.Namespace) -> int:
    """Run a scenario from beginning to end and return the exit status."""
    scenario = options.scenario
    parameters = {name: getattr(options, name) for name in scenario.options}
    result, report = measure(options, scenario.name, lambda interpreters, progress: (
        experiment.run_experiment(scenario, parameters, interpreters, options.runs,
                                  options.limit, progress)))
    return present(options, result, report, with_bars=options.check)


def run_memory(options: argparse.Namespace) -> int:
    """Run memory scenarios, show what they hold, and return the exit status."""
    parameters = {name: getattr(options, name) for scenario in options.scenarios
                  for name in scenario.options if hasattr(options, name)}
    result, report = measure(options, options.stem, lambda interpreters, progress: (
        memory.run_scenarios(options.scenarios, parameters, interpreters, options.runs,
                             options.limit, progress)))
    present(options, result, report)
    cleared = all(bar.cleared for bar in memory_report.check(result))
    return NOT_CLEARED if options.check and not cleared else 0


def run_instructions(options: argparse.Namespace) -> int:
    """Count the instructions of the programs, show them, and return the exit status."""
    callgrind.find_valgrind()
    result, report = measure(options, "instructions", lambda interpreters, progress: (
        instructions.run_programs(options.programs, interpreters, options.size, options.limit,
                                  progress, whole=options.whole)))
    status = present(options, result, report, with_bars=True)
    return status if options.check else 0


def run_record(options: argparse.Namespace) -> int:
    """Record traces and return the exit status."""
    words = options.script[options.script[:1] == ["--"]:]
    if bool(words) != bool(options.name):
        raise BenchmarkError("a script of your own needs --name NAME, and --name a script")
    if options.name and Path(options.name).name != options.name:
        raise BenchmarkError(f"--name {options.name}: it names a file in the folder of --traces, "
                             "so it has no /")
    interpreter = machine.describe_interpreter(options.python)
    with document.report_folder(options.traces) as folder:
        recorder = recording.find_recorder(folder)
        if words:
            trace = folder / f"{options.name}.trace"
            recording.record(recorder, interpreter, words, trace, options.limit)
            name_files([trace])
            return 0
        written = []
        with Progress() as progress:
            for name in options.programs:
                progress(f"recording {name}")
                trace = folder / f"{name}.trace"
                if recording.record_program(recorder, interpreter, TRACED[name], trace,
                                            options.limit, options.again):
                    written.append(trace)
    if written:
        name_files(written)
    return 0


def run_replay(options: argparse.Namespace) -> int:
    """Replay traces, show what they took and held, and return the exit status."""
    traces = options.trace or [options.traces / f"{name}.trace" for name in options.programs]
    missing = [trace for trace in traces if not trace.is_file()]
    if missing:
        raise BenchmarkError(f"there is no trace {missing[0]}: obmallocbench record makes them")
    names = [chosen.name for chosen in options.arms]
    if len(set(names)) < len(names):
        raise BenchmarkError("two arms have the same name")
    valgrind = callgrind.find_valgrind() if options.instructions else None
    parameters = {"rounds": options.runs, "samples": options.samples, "sizes": options.sizes}
    result, report = write_report(options.report, "replay", lambda progress: (
        replay.run_replay(traces, options.arms, parameters, options.traces, valgrind,
                          options.limit, progress)))
    return present(options, result, report)


def run_all(options: argparse.Namespace) -> int:
    """Run many programs under many allocators, show what came out, and return the exit status."""
    def work(interpreters: dict, progress: Progress) -> dict:
        with document.report_folder(options.packages), \
                journal.Journal(options.report / "all.journal") as done:
            return comparison.compare(
                [REST_SCENARIOS[name] for name in options.scenario], options.arm,
                allocators.Sources(interpreters, options.packages, options.library),
                options.runs, options.idle, done, options.limit, options.again, progress)
    result, report = measure(options, "all", work)
    return present(options, result, report, *comparison_page.write(result, options.report))


def run_suite(options: argparse.Namespace) -> int:
    """Run pyperformance on both interpreters, show the table, and return the exit status."""
    words = options.words[options.words[:1] == ["--"]:]
    interpreters = interpreters_of(options)
    with (document.report_folder(options.venvs), document.report_folder(options.report),
          Progress() as progress):
        text, written, failed = field_suite.run_suite(interpreters, words, options.venvs,
                                                      options.report, progress)
    print(text, end="")
    name_files(written)
    if failed:
        raise BenchmarkError(f"without those that failed: {', '.join(failed)} (see "
                             f"{options.report / field_suite.SUITE}.log)")
    return 0


def run_web_service(options: argparse.Namespace) -> int:
    """Run the services, show what they held and how they answered, return the exit status."""
    sources = preloading_sources(options)
    parameters = {name: getattr(options, name) for name in service.OPTIONS}

    def work(progress: Progress) -> dict:
        with document.report_folder(options.packages):
            return service.run_service(sources, options.services, options.arms, parameters,
                                       options.runs, progress)
    return present(options, *write_report(options.report, picture.SERVICE, work))


def preloading_sources(options: argparse.Namespace) -> allocators.Sources:
    """Return where the arms of one interpreter come from; BenchmarkError without the library."""
    interpreter = machine.describe_interpreter(options.python)
    if not options.library.is_file():
        raise BenchmarkError(f"no library {options.library}: make preload builds it")
    return allocators.Sources({"stock": interpreter}, options.packages, options.library)


def field_programs_of(names: Iterable[str]) -> list[FieldProgram]:
    """Return the programs that names stand for, of programs and of groups, each once."""
    wanted = [one for name in names for one in FIELD_GROUPS.get(name, (name,))]
    return [program for name, program in FIELD_PROGRAMS.items() if name in wanted]


def run_field(options: argparse.Namespace) -> int:
    """Run the field's programs, show what they keep, return the exit status."""
    sources = preloading_sources(options)

    def work(progress: Progress) -> dict:
        with document.report_folder(options.packages), \
                journal.Journal(options.report / "field.journal") as done:
            return field.run_field(
                field_programs_of(options.programs), options.arms, sources,
                options.runs, {name: getattr(options, name) for name in FIELD_OPTIONS}, done,
                options.limit, options.again, progress)
    result, report = write_report(options.report, picture.FIELD, work)
    summary = report.with_suffix(".md")
    files.write(summary, field_report.markdown(result).encode("utf-8"))
    return present(options, result, report, summary)


def run_draw(options: argparse.Namespace) -> int:
    """Draw the picture of a report and return the exit status."""
    report = document.read(options.file)
    with document.only_sense(options.file):
        if report["format"] == comparison.FORMAT:
            written = comparison_page.write(report, options.file.parent)
        elif report["format"] in (experiment.FORMAT, *picture.STEMS):
            written = picture.picture_of(options.file)
        else:
            raise BenchmarkError(f"{options.file} has no picture: only obj, service, field and all "
                                 "have one")
    name_files(written)
    return 0


def run_check(options: argparse.Namespace) -> int:
    """Check the bars of a report and return the exit status."""
    report = document.read(options.file)
    if report["format"] not in CHECKS:
        raise BenchmarkError(f"{options.file} has no bars: only obj, memory and instructions do")
    with document.only_sense(options.file):
        return print_bars(report)


def run(arguments: list[str] | None) -> int:
    """Run what the command line (without the program's name) says; return the exit status."""
    options = parser().parse_args(arguments)
    try:
        return options.function(options)
    except KeyboardInterrupt as interrupt:
        kept = ("what was measured is kept, the same command goes on"
                if options.function in (run_all, run_suite, run_field) else "nothing written")
        raise KeyboardInterrupt(f"interrupted, {kept}") from interrupt


def main(arguments: list[str] | None = None) -> int:
    """As run(), but what is wrong is one line on standard error."""
    return run_guarded("obmallocbench", lambda: run(arguments), failed=FAILED)


if __name__ == "__main__":
    sys.exit(main())
