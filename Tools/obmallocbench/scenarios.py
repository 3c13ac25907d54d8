"""The scenarios: which script runs, with which options, and what must come out.

A Scenario is timed over many rounds and drawn; a MemoryScenario asks what stays resident; a
RestScenario runs under many allocators, and so does a FieldProgram, on real libraries.
"""
from __future__ import annotations

import dataclasses
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
WORKLOADS = FOLDER / "workloads"
FIELD = FOLDER / "field_programs"
MEDIUM_OFF = "medium=0"     # requests above 512 bytes are left to the system's malloc
RETAIN_ALL = "retain=all"


@dataclasses.dataclass(frozen=True)
class Workload:
    """A script.

    name: the script's. title: for people. options: what the script takes, name to default. folder:
    where it lies.
    """

    name: str
    title: str
    options: dict[str, int | str]
    folder: Path = dataclasses.field(default=WORKLOADS, kw_only=True)

    @property
    def script(self) -> Path:
        """The path of the workload."""
        return self.folder / f"{self.name}.py"

    def command_options(self, parameters: dict[str, int | str]) -> list[str]:
        """Return the words that give the script its parameters."""
        return [word for name, value in parameters.items()
                for word in (f"--{name.replace('_', '-')}", str(value))]


@dataclasses.dataclass(frozen=True)
class Scenario(Workload):
    """A workload timed over many rounds. Its name is also the command's word and the files' stem.

    phases: the names of its marks in order; each is the end of a phase.
    activities: what the program does before each mark, in one word each, for the picture.
    before, freed: the marks between which everything is allocated and freed once.
    labels: what the table calls the memory at some of its marks, if not by the mark's name.
    timed: options besides of every run. watched: of the run whose resident set is drawn over time.
    """

    phases: tuple[str, ...]
    activities: tuple[str, ...]
    before: str
    freed: str
    labels: dict[str, str] = dataclasses.field(default_factory=dict, kw_only=True)
    timed: dict[str, int] = dataclasses.field(default_factory=dict, kw_only=True)
    watched: dict[str, int] = dataclasses.field(default_factory=dict, kw_only=True)


@dataclasses.dataclass(frozen=True)
class Demand:
    """What must come out: the key of a figure in memory.FIGURES, the mark at which it is read,
    and the most that it may be."""

    figure: str
    phase: str
    limit: float


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to run a memory scenario: what people call it (may be empty), the parameters that
    differ from the defaults, and its demands."""

    label: str
    parameters: dict[str, int]
    demands: tuple[Demand, ...]


@dataclasses.dataclass(frozen=True)
class MemoryScenario(Workload):
    """A workload that is asked what it holds. Its name is also the command's word.

    before: the mark that everything is compared with. peak: the mark at which most is held, ""
    where the work has none: then it is the most that the process ever held.
    cases: the ways to run it. runs: how often each arm runs by default.
    settings: what PYTHONOBMALLOC is in the arm that runs besides stock and patched, and that arm's
    name, "" for none.
    """

    before: str
    peak: str
    cases: tuple[Case, ...]
    runs: int
    settings: str = ""


@dataclasses.dataclass(frozen=True)
class RestScenario(Workload):
    """A workload that does its work, releases what it does not need, and rests, under many
    allocators. options: those that are given, all but idle.

    key: how it is called. packages: of PyPI, that it imports. resident: what its rss_bytes are,
    RSS of one process or PSS of several.
    """

    key: str
    packages: tuple[str, ...] = ()
    resident: str = "RSS"

    @property
    def sources(self) -> list[Path]:
        """The script, and what workloads share."""
        return [self.script, *(WORKLOADS / name for name in ("measure.py", "live.py", "triples.py"))]


@dataclasses.dataclass(frozen=True)
class FieldProgram(RestScenario):
    """A program of the folder field_programs: it does its work on libraries that people use, drops it,
    sleeps, and answers small requests."""

    folder: Path = dataclasses.field(default=FIELD, kw_only=True)

    @property
    def sources(self) -> list[Path]:
        """The script, and what it imports of ours."""
        return [self.script, FIELD / "phases.py", WORKLOADS / "measure.py"]


FIELD_OPTIONS = {"sleep": 3, "light": 150}      # seconds, and small requests, 20 ms apart
REPORTED_PROGRAMS = {program.key: program for program in (
    FieldProgram("nested_json", "nested JSON", {"documents": 9_000}, "json"),
    FieldProgram("buffers", "buffers in threads", {"answers": 160}, "buffers"),
    FieldProgram("arrays", "numpy in threads", {"rounds": 320}, "arrays", ("numpy",)),
    FieldProgram("images", "thumbnails (Pillow)", {"images": 32}, "images", ("pillow",)),
    FieldProgram("csv_table", "pandas read_csv", {"rows": 250_000}, "csv", ("pandas",)),
    FieldProgram("tls", "TLS connections", {"connections": 400}, "tls", ("cryptography",)),
    FieldProgram("orm", "SQLAlchemy in threads", {"orders": 20_000}, "orm", ("sqlalchemy",)),
    FieldProgram("spreadsheet", "openpyxl", {"rows": 9_000}, "spreadsheet", ("openpyxl",)),
    FieldProgram("xml_tree", "lxml trees", {"entries": 40_000}, "xml", ("lxml",)),
    FieldProgram("html_pages", "HTML (html5lib)", {"pages": 180}, "html",
                 ("beautifulsoup4", "html5lib")),
    FieldProgram("celery_worker", "Celery worker", {"jobs": 80}, "celery", ("celery",)),
    FieldProgram("figures", "Matplotlib in threads", {"figures": 12}, "figures", ("matplotlib",)),
)}

MEDIUM_PROGRAMS = {program.key: program for program in (
    FieldProgram("buffers_in_threads", "buffers in 16 threads", {"buffers": 12_000}, "threads"),
    FieldProgram("libraries_in_threads", "lxml, zlib, sqlite in 16 threads", {"documents": 640},
                 "libraries", ("lxml",)),
    FieldProgram("blobs", "sessions of blobs", {"sessions": 12_000}, "blobs"),
    FieldProgram("pickled_buffers", "pickle of small buffers", {"parts": 16_000}, "pickle"),
    FieldProgram("rows", "SQLAlchemy, rows of some KB", {"articles": 12_000}, "rows",
                 ("sqlalchemy",)),
    FieldProgram("streams", "asyncio streams", {"connections": 160}, "streams"),
    FieldProgram("archives", "gzip and zip in memory", {"files": 480}, "archives"),
    FieldProgram("growth", "growth of a list, a bytearray", {"megabytes": 100}, "growth"),
)}
# Models of jobs for which others have published what allocators need.
PUBLISHED_PROGRAMS = {program.key: program for program in (
    FieldProgram("home_states", "Home Assistant's states", {"entities": 16_000}, "home"),
)}
FIELD_PROGRAMS = {**REPORTED_PROGRAMS, **MEDIUM_PROGRAMS, **PUBLISHED_PROGRAMS}
FIELD_GROUPS = {"reported": tuple(REPORTED_PROGRAMS), "medium": tuple(MEDIUM_PROGRAMS),
                "published": tuple(PUBLISHED_PROGRAMS)}


def medium_scenario(key: str, *demands: Demand) -> MemoryScenario:
    """Return the scenario of a program in MEDIUM_PROGRAMS: it does its work, drops it and answers
    small requests for a second, and must meet demands."""
    program = MEDIUM_PROGRAMS[key]
    return MemoryScenario(program.name, program.title, {**program.options, "sleep": 0, "light": 50},
                          before="start", peak="", cases=(Case("", {}, demands),), runs=3,
                          settings=MEDIUM_OFF, folder=FIELD)


SCENARIOS = {scenario.name: scenario for scenario in (
    Scenario(
        name="obj",
        title="Obj",
        options={"objects": 1_000_000},
        timed={"asleep_milliseconds": 1000},
        watched={"quiet_milliseconds": 1500},
        phases=("start", "allocated", "freed", "allocated again", "freed again", "idle"),
        labels={"freed": "right after free", "freed again": "after 2nd free",
                "idle": "after 1 s idle"},
        activities=("start", "allocate", "free", "allocate again", "free", "little to do"),
        before="start",
        freed="freed",
    ),
)}

MEMORY_SCENARIOS = {scenario.name: scenario for scenario in (
    MemoryScenario(
        name="survivors",
        title="survivors",
        options={"triples": 2_000_000},
        before="base",
        peak="made",
        cases=tuple(
            Case(label, {"permille": permille}, (Demand("kept / floor", "freed", limit),))
            for label, permille, limit in (("0.1 %", 1, 1.10), ("1 %", 10, 1.08),
                                           ("10 %", 100, 1.03))),
        runs=1,
    ),
    MemoryScenario(
        name="sessions",
        title="sessions",
        options={"sessions": 1500},
        before="base",
        peak="peak",
        cases=(Case("", {}, (Demand("kept apart / floor", "drained", 1.5),)),),
        runs=1,
    ),
    MemoryScenario(
        name="burst",
        title="burst, then sleep",
        options={"mebibytes": 200},
        before="base",
        peak="allocated",
        cases=(Case("", {}, (Demand("kept", "asleep", 8.0),)),),
        runs=3,
    ),
    MemoryScenario(
        name="cycles",
        title="cycles",
        options={"mebibytes": 50, "cycles": 20, "light_seconds": 2},
        before="base",
        peak="cycled",
        cases=(Case("", {}, (Demand("cpu", "cycled", 1.05), Demand("kept", "quiet", 8.0))),),
        runs=5,
        settings=RETAIN_ALL,
    ),
    medium_scenario("threads", Demand("peak", "", 45.0), Demand("resident", "light", 17.0),
                    Demand("CPU / medium=0", "light", 0.9), Demand("CPU / stock", "light", 0.8)),
    medium_scenario("blobs", Demand("peak / stock", "", 1.05), Demand("resident", "dropped", 45.0),
                    Demand("resident", "light", 32.0), Demand("CPU / medium=0", "light", 1.03)),
    medium_scenario("pickle", Demand("peak / stock", "", 1.04), Demand("resident", "light", 22.0),
                    Demand("CPU / medium=0", "light", 1.03)),
    medium_scenario("streams", Demand("peak / stock", "", 1.03), Demand("kept", "light", 3.0),
                    Demand("CPU / medium=0", "light", 1.03)),
    medium_scenario("archives", Demand("peak / stock", "", 1.02), Demand("resident", "light", 15.0),
                    Demand("CPU / medium=0", "light", 1.05)),
    medium_scenario("growth", Demand("peak / stock", "", 1.01), Demand("CPU / medium=0", "light", 1.02)),
)}


REST_SCENARIOS = {scenario.key: scenario for scenario in (
    RestScenario("obj", "Obj, twice a burst", {"objects": 600_000}, "obj"),
    RestScenario("survivors", "0.1 % survivors", {"triples": 1_000_000, "permille": 1},
                 "survivors-0.1"),
    RestScenario("survivors", "1 % survivors", {"triples": 1_000_000, "permille": 10},
                 "survivors-1"),
    RestScenario("survivors", "10 % survivors", {"triples": 1_000_000, "permille": 100},
                 "survivors-10"),
    RestScenario("sessions", "sessions", {"sessions": 1500}, "sessions"),
    RestScenario("burst", "one burst", {"mebibytes": 200}, "burst"),
    RestScenario("cycles", "cycles", {"mebibytes": 50, "cycles": 10, "light_seconds": 1}, "cycles"),
    RestScenario("churn", "churn", {"items": 600_000}, "churn"),
    RestScenario("json_document", "JSON document", {"orders": 40_000}, "json"),
    RestScenario("syntax_trees", "syntax trees", {"modules": 60}, "ast"),
    RestScenario("pickled", "pickles", {"records": 30_000}, "pickle"),
    RestScenario("sqlite_rows", "SQLite rows", {"rows": 250_000}, "sqlite"),
    RestScenario("etl", "ETL", {"rows": 150_000}, "etl"),
    RestScenario("flask_sessions", "Flask, sessions", {"requests": 1000, "visitors": 600}, "flask",
                 ("flask",)),
    RestScenario("graph", "networkx graph", {"nodes": 60_000}, "graph", ("networkx",)),
    RestScenario("prefork", "prefork server", {"articles": 300_000, "requests": 2000}, "prefork",
                 resident="PSS"),
)}


# The ten are judged together; the eleventh is a bar of its own.
PROGRAM_NAMES = ("tuples", "slotted", "plain", "strings", "dicts", "ints", "floats", "lists",
                 "closures", "bytes")
MIXED = "mixed"
# These allocate above 512 bytes, and are judged together too.
LARGER_NAMES = ("joins", "json", "growth", "sets", "slices", "deques", "buffers", "expressions",
                "sorting", "reads")
# What traces are recorded from: scripts with the defaults of their options.
TRACED = {path.stem: path for path in (
    *(FOLDER / "traced" / f"{name}.py" for name in (
        "json_documents", "syntax_trees", "pickles", "templates", "web_service", "test_suite",
        "threads_of_buffers", "large_sessions", "documents", "tables")),
    WORKLOADS / "churn.py", WORKLOADS / "sessions.py")}
PROGRAMS = Workload("programs", "allocation-heavy programs", {"program": "tuples", "size": 200_000})
LARGER_PROGRAMS = Workload("larger_programs", "programs that allocate above 512 bytes",
                           {"program": "joins", "size": 200_000})


def workload_of_program(name: str) -> Workload:
    """Return the workload that has the program called name."""
    return LARGER_PROGRAMS if name in LARGER_NAMES else PROGRAMS
