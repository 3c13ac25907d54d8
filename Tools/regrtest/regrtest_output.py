"""What one run of CPython's regrtest says: its log, and its JUnit XML file.

The XML names every test case that ran, but it has three holes, which the log
(written with -W, so that it holds the verbose output of each file that did not
pass) fills:

1. A file that crashed, timed out or could not be imported is not in the XML.
   The log's progress line ``0:00:07 [ 3/480/1] test_x <outcome>`` tells.
2. A case that failed only inside subTest() is an XML element without a name,
   and a failed setUpClass or setUpModule is in no element at all.  Both have
   a heading ``FAIL: name (id)`` between two rulers in the log.
3. faulthandler ends a file that takes too long with exit status 1; only
   ``Timeout (0:10:00)!`` in the file's output tells this from a failed exit.

Before 3.8 there is no XML: the log names the cases that fail, and a file that
passes stands for all of its cases, as one.

A test may itself print such lines (test_regrtest does).  A progress line is
believed only if it carries the next index, the right total, and the name of a
file that was asked for.

Terms: a *file* is what regrtest calls a test (``test_int``); a *case* is one
test method.  The *file's own result* (key FILE) is about the file as a whole.
"""

import re
import xml.etree.ElementTree as ElementTree

PASS = "pass"
FAIL = "fail"
CRASH = "crash"        # a process died of a signal
SKIP = "skip"
ABSENT = "absent"      # the file ran to its end, the case was not among it
UNKNOWN = "unknown"    # the file did not run to its end

FILE = ""              # the key of the file's own result among its cases

TIMED_OUT = "timed out"     # how regrtest's words for it begin

SEVERITY = (SKIP, PASS, FAIL, CRASH)

PROGRESS = re.compile(
    r"^\d+:\d\d:\d\d (?:load avg: \S+ )?\[ *(\d+)/(\d+)(?:/\d+)?\] (\S+) (.*)$")
RUNNING = re.compile(r" -- running \(\d+\): .*$")
EXIT_SIGNAL = re.compile(r"Exit code (?:-\d+|\d+ \(SIG\w+\))")
FAULTHANDLER_TIMEOUT = re.compile(r"Timeout \(\d+:\d\d:\d\d(?:\.\d+)?\)!$", re.M)
HEADING = re.compile(
    r"^={70}\n(?:ERROR|FAIL|UNEXPECTED SUCCESS): (\S+) \(([^()\s]+)\)", re.M)
EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Warning|Exit)\b.*", re.M)
FIXTURES = ("setUpClass", "tearDownClass", "setUpModule", "tearDownModule")
FINAL_LIST = re.compile(
    r"^\d+ tests? (failed|altered the execution environment \(env changed\)):\n"
    r"((?:    .*\n?)+)", re.M)

# How test.support.script_helper and subprocess report a child that died of a
# signal which no test sends on purpose: ILL, ABRT, BUS, FPE, SEGV.  Not "Fatal
# Python error": the tests of faulthandler quote that in failures of every kind.
CHILD_CRASH = re.compile(r"return code is -(?:4|6|7|8|11)\b"
                         r"|died with <Signals\.SIG(?:ILL|ABRT|BUS|FPE|SEGV)\b")


class Result:
    """What happened to one case, or to a file as a whole, in one run."""

    __slots__ = ("kind", "detail")

    def __init__(self, kind, detail=""):
        self.kind = kind
        self.detail = detail

    def __repr__(self):
        return f"Result({self.kind!r}, {self.detail!r})"

    def __eq__(self, other):
        return (self.kind, self.detail) == (other.kind, other.detail)


class FileRun:
    """One file in one run.

    complete -- true if and only if every case of the file had its turn
    cases    -- result by case id; cases[FILE] always exists
    """

    __slots__ = ("complete", "cases")

    def __init__(self, complete, own, cases=()):
        self.complete = complete
        self.cases = dict(cases)
        self.cases[FILE] = own

    def result(self, key):
        """The result of a case, also where the run does not mention it."""
        if key in self.cases:
            return self.cases[key]
        if self.cases[FILE].kind == SKIP:
            return Result(SKIP, "file skipped")
        if not self.complete:
            return Result(UNKNOWN, f"file {self.cases[FILE].detail}")
        if is_fixture(key):
            return Result(PASS)   # only failures of fixtures are reported
        return Result(ABSENT)

    def timed_out(self):
        own = self.cases[FILE]
        return own.kind == FAIL and own.detail.startswith(TIMED_OUT)


def is_fixture(case):
    return case.startswith(tuple(name + " (" for name in FIXTURES))


def plain_name(file):
    """regrtest says test.test_asyncio.test_x and test_asyncio.test_x alike."""
    return file[len("test."):] if file.startswith("test.") else file


class LogReader:
    """Follows a growing log, and tells which file ended how."""

    def __init__(self, files):
        self.files = set(files)
        self.total = len(files)
        self.index = 0
        self.outcomes = {}    # file -> outcome text, in the order of the log
        self.outputs = {}     # file -> its output, lines
        self.tail = []        # everything after "== Tests result"
        self._rest = ""
        self._file = None
        self._ended = False

    def feed(self, text):
        """Take more of the log; return the files that ended in it."""
        lines = (self._rest + text).split("\n")
        self._rest = lines.pop()
        return [file for file in map(self._line, lines) if file is not None]

    def close(self):
        self.feed("\n")

    def _line(self, line):
        match = None if self._ended else PROGRESS.match(line)
        if match and self._is_genuine(match):
            self.index += 1
            self._file = match.group(3)
            self.outcomes[self._file] = RUNNING.sub("", match.group(4))
            self.outputs[self._file] = []
            return self._file
        if line.startswith("== Tests result: ") and self.index:
            # The last one wins: a test may have printed an earlier one.
            self.tail = []
            self._ended = self.index == self.total
        self.tail.append(line)
        if self._file is not None:
            self.outputs[self._file].append(line)
        return None

    def _is_genuine(self, match):
        index, total, name = match.group(1, 2, 3)
        return (int(index) == self.index + 1 and int(total) == self.total
                and name in self.files and name not in self.outcomes)

    def output(self, file):
        return "\n".join(self.outputs[file])

    def listed_as_bad(self):
        """Files in regrtest's closing lists of failures."""
        names = set()
        for match in FINAL_LIST.finditer("\n".join(self.tail)):
            names.update(match.group(2).split())
        return names & self.files


def is_bad(outcome):
    """Is this progress-line outcome anything but passed, skipped, empty?"""
    return not outcome.startswith(("passed", "skipped", "ran no tests"))


def heading_cases(output):
    """Result by case id, from the FAIL and ERROR headings of a file's output."""
    cases = {}
    headings = list(HEADING.finditer(output))
    ends = [match.start() for match in headings[1:]] + [len(output)]
    for match, end in zip(headings, ends):
        name, place = match.groups()
        if name in FIXTURES:
            case = f"{name} ({place})"
        elif place.rpartition(".")[2] == name:
            case = place
        else:
            case = f"{place}.{name}"
        text = output[match.end():end]
        kind = CRASH if CHILD_CRASH.search(text) else FAIL
        if kind == CRASH or case not in cases:
            cases[case] = Result(
                kind, exception_line(text) or "see the log")
    return cases


def exception_line(text):
    """The line of a traceback that names the exception, or ""."""
    match = EXCEPTION.search(text)
    return match.group() if match else ""


def element_result(element):
    for tag in ("failure", "error"):
        child = element.find(tag)
        if child is not None:
            text = child.text or ""
            message = child.get("message") or text
            kind = CRASH if CHILD_CRASH.search(text + message) else FAIL
            return Result(kind, exception_line(message) or tag)
    if element.find("outcome") is not None:
        return Result(FAIL, "unexpected success")
    skipped = element.find("skipped")
    if skipped is not None:
        return Result(SKIP, skipped.text or "")
    return Result(PASS)


def suite_cases(suite):
    """(result by case id, number of elements without a name)."""
    cases = {}
    nameless = 0
    for element in suite.iter("testcase"):
        name = element.get("name")
        if name is None:
            nameless += 1
            continue
        result = element_result(element)
        known = cases.get(name)
        if known is None or (SEVERITY.index(result.kind)
                             > SEVERITY.index(known.kind)):
            cases[name] = result
    return cases, nameless


def read_junit(path):
    """The suites of a JUnit file; none if it is missing or cut short."""
    try:
        return [suite_cases(suite)
                for suite in ElementTree.parse(path).getroot().iter("testsuite")]
    except (OSError, ElementTree.ParseError):
        return []


def owner(cases, files):
    """The file most of these case ids lie in, or None.

    A file may run cases of classes imported from another, so this is a vote.
    """
    by_name = {plain_name(file): file for file in files}
    votes = {}
    for case in cases:
        name = plain_name(case)
        while name:
            if name in by_name:
                votes[by_name[name]] = votes.get(by_name[name], 0) + 1
                break
            name = name.rpartition(".")[0]
    return max(votes, key=votes.get) if votes else None


def assign_suites(suites, files):
    """Map each file to its suite; files in the order in which they ended.

    The XML does not say which file a suite is of, only keeps that order.
    """
    if len(files) == 1:
        return dict(zip(files, suites))
    found = {}
    waiting = []
    for suite in suites:
        file = owner(suite[0], [file for file in files if file not in found])
        if file is None:
            waiting.append(suite)
        else:
            found[file] = suite
    rest = [file for file in files if file not in found]
    found.update(zip(rest, waiting))
    return found


def file_run(outcome, output, suite):
    """Put together what log and XML say about one file."""
    cases, nameless = dict(suite[0]), suite[1]
    if outcome.startswith("skipped"):
        return FileRun(False, Result(SKIP, outcome))
    if outcome.startswith(("passed", "ran no tests")):
        return FileRun(True, Result(PASS), cases)
    if outcome.startswith(TIMED_OUT):
        return FileRun(False, Result(FAIL, outcome))
    if EXIT_SIGNAL.search(outcome):
        return FileRun(False, Result(CRASH, outcome))
    if outcome.startswith(("worker non-zero exit code", "crashed (Exit code")):   # 3.11 and older
        detail = TIMED_OUT if FAULTHANDLER_TIMEOUT.search(output) else outcome
        return FileRun(False, Result(FAIL, detail))
    if outcome.startswith("failed (env changed)"):
        return FileRun(True, Result(FAIL, "environment changed"), cases)
    if (outcome.startswith("failed (uncaught exception)")
            or not outcome.startswith("failed")):
        return FileRun(False, Result(FAIL, outcome), cases)
    return failed_file_run(outcome, output, cases, nameless)


def failed_file_run(outcome, output, cases, nameless):
    """A file that ran to its end, with failed cases, all of them named."""
    for case, result in heading_cases(output).items():
        if case not in cases and not is_fixture(case):
            nameless -= 1
        if case not in cases or cases[case].kind in (PASS, SKIP):
            cases[case] = result
    some = any(result.kind in (FAIL, CRASH) for result in cases.values())
    if some and nameless <= 0:
        return FileRun(True, Result(PASS), cases)
    return FileRun(True, Result(FAIL, f"{outcome}, in a case without a name"),
                   cases)


def read_run(log, suites):
    """FileRun by file name, for each file that has ended in a closed log.

    suites -- as read_junit() has them; None: this regrtest writes none
    """
    outcomes = dict(log.outcomes)
    for file in log.listed_as_bad():
        if file in outcomes and not is_bad(outcomes[file]):
            outcomes[file] = "failed"
    if suites is None:
        return {file: file_run(outcome, log.output(file),
                               ({} if is_bad(outcome) else {file: Result(PASS)}, 0))
                for file, outcome in outcomes.items()}
    with_suite = [file for file in outcomes
                  if not outcomes[file].startswith(("skipped", "worker", "timed"))]
    by_file = assign_suites(suites, with_suite)
    return {file: file_run(outcome, log.output(file),
                           by_file.get(file, ({}, 0)))
            for file, outcome in outcomes.items()}
