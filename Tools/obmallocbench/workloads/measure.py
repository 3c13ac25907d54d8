"""What the workloads share: reading clocks and memory, and the line that reports them.

A workload is a script that any CPython from 2.4 to the newest runs alone, without site:

    python -S Tools/obmallocbench/workloads/obj.py --objects 1000000

It imports this module from its own folder (sys.path[0]), calls ``Recorder.mark`` at the end of
each phase, and last ``Recorder.finish`` (or ``end``), which writes one line of JSON to standard output.

So that it runs everywhere, the code here and in the workloads keeps to the syntax of Python 2.4:
no conditional expression, no ``with``, no ``except ... as``, no f-string, no ``print``.
It imports little, and ctypes only on request, so that the figures are the workload's own.

Units: seconds (float) and bytes (int). What a system does not tell is None, null in the JSON.
"""
import gc
import os
import sys

try:
    import time
except ImportError:         # an interpreter of old in its build folder: no extension modules
    time = None
try:
    import resource
except ImportError:
    resource = None

KIBIBYTE = 1024
SMALL_MAX = 512             # bytes of the largest block that pymalloc serves
# Bytes a read; the files in /proc read here are smaller. Much more would disturb what is measured:
# glibc looks for memory to give back when it frees 64 KiB at once.
READ_SIZE = 1 << 13


# --- Clocks ------------------------------------------------------------------------------------

def _find_clock():
    """Return the best clock there is: a function that gives seconds (float) from some origin."""
    if time is None:
        return lambda: os.times()[4]
    return getattr(time, "perf_counter", time.time)


clock = _find_clock()


def epoch_seconds():
    """Return the time since 1970 (float, seconds), or None; it aligns us with another process."""
    if time is None:
        return None
    return time.time()


def cpu_seconds():
    """Return (user, system) CPU time of this process (float, seconds)."""
    if resource is None:
        return tuple(os.times()[:2])
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime, usage.ru_stime


# --- Memory ------------------------------------------------------------------------------------

def read_text(path):
    """Return the whole text (str) of a small file of the kernel, or None when it has none."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        pieces = []
        try:
            piece = os.read(descriptor, READ_SIZE)
            while piece:
                pieces.append(piece)
                piece = os.read(descriptor, READ_SIZE)
        except OSError:
            return None
    finally:
        os.close(descriptor)
    text = type(piece)().join(pieces)
    if not isinstance(text, str):
        text = text.decode("ascii", "replace")
    return text


def kibibyte_field(text, name):
    """Return the bytes (int) that a line ``name:   123 kB`` of text states, or None without one."""
    for line in (text or "").splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == name + ":":
            return int(words[1]) * KIBIBYTE
    return None


def page_size():
    """Return the system's page size (int, bytes)."""
    return os.sysconf("SC_PAGE_SIZE")


def resident():
    """Return the resident set of this process, and what of it lies in transparent huge pages
    (both int, bytes, or None).

    smaps_rollup walks the page tables and is exact; that takes some 2 milliseconds for 100 MiB.
    statm, for kernels before 4.14, reads a counter that each processor keeps a part of, and may
    be off by some pages a processor.
    """
    text = read_text("/proc/self/smaps_rollup")
    rss = kibibyte_field(text, "Rss")
    if rss is None:
        words = (read_text("/proc/self/statm") or "").split()
        if len(words) > 1:
            rss = int(words[1]) * page_size()
    return rss, kibibyte_field(text, "AnonHugePages")


def rss_bytes():
    """Return the resident set of this process (int, bytes), or None."""
    return resident()[0]


def anon_huge_pages_bytes():
    """Return what of the resident set lies in transparent huge pages (int, bytes), or None."""
    return resident()[1]


def peak_rss_bytes():
    """Return the largest resident set since this program was started (int, bytes), or None.

    VmHWM begins anew at exec. ru_maxrss does not: it begins at the resident set of the parent.
    """
    return kibibyte_field(read_text("/proc/self/status"), "VmHWM")


def cgroup_memory_path():
    """Return the path (str) of the file with the memory charged to our cgroup, or None.

    One line of /proc/self/cgroup a hierarchy, ``number:controllers:path``; version 2 is number 0.
    Inside a container the path may be that of the host, so the mount's root is tried as well.
    """
    candidates = []
    for line in (read_text("/proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            root, name = "/sys/fs/cgroup/memory", "/memory.usage_in_bytes"
        elif number == "0":
            root, name = "/sys/fs/cgroup", "/memory.current"
        else:
            continue
        candidates.append(root + path.rstrip("/") + name)
        candidates.append(root + name)
    for candidate in candidates:
        if os.access(candidate, os.R_OK):
            return candidate
    return None


def cgroup_memory_bytes():
    """Return the memory charged to our cgroup, all its processes (int, bytes), or None."""
    path = cgroup_memory_path()
    text = path and read_text(path)
    if not text:
        return None
    return int(text)


MALLINFO_FIELDS = ("arena", "ordblks", "smblks", "hblks", "hblkhd",
                   "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


PROBED_BYTES = 4096         # neither in a cache of a thread nor mapped by itself


def _usage_of(library):
    """Return what a C library's mallinfo2 says (dictionary: field to int), or None without it."""
    import ctypes

    class Mallinfo2(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in MALLINFO_FIELDS]

    function = getattr(library, "mallinfo2", None)
    if function is None:
        return None
    function.restype = Mallinfo2
    answer = function()
    return dict([(name, int(getattr(answer, name))) for name in MALLINFO_FIELDS])


def _find_glibc():
    """Return glibc as ctypes has it, or None if malloc is not glibc's: on another C library, or
    where another allocator is preloaded. Glibc's own count tells: a block that comes from it is in
    use there."""
    try:
        import ctypes
        library = ctypes.CDLL(None)
        library.malloc.restype = ctypes.c_void_p
        library.malloc.argtypes = [ctypes.c_size_t]
        library.free.argtypes = [ctypes.c_void_p]
    except (ImportError, OSError, AttributeError):
        return None
    before = _usage_of(library)
    if before is None:
        return None
    block = library.malloc(PROBED_BYTES)
    used = _usage_of(library)["uordblks"] - before["uordblks"]
    library.free(block)
    if used < PROBED_BYTES:
        return None
    return library


_glibc = []                 # what _find_glibc() said, once it was asked


def glibc():
    """Return glibc as ctypes has it, or None if malloc is not glibc's.

    The first call imports ctypes, some 2 MiB resident: make it before the first mark.
    """
    if not _glibc:
        _glibc.append(_find_glibc())
    return _glibc[0]


def mallinfo():
    """Return glibc's mallinfo2 (dictionary: field to int, bytes or a count), or None without it,
    or if malloc is not glibc's."""
    library = glibc()
    if library is None:
        return None
    return _usage_of(library)


def trim_if_asked():
    """Have glibc's malloc give back what it can, once, if the environment has OBMALLOCBENCH_TRIM:
    what a program may do that knows when its work is over."""
    if os.environ.get("OBMALLOCBENCH_TRIM"):
        library = glibc()
        if library is None:
            refuse("OBMALLOCBENCH_TRIM: malloc is not glibc's here")
        library.malloc_trim(0)


def _preloaded_module():
    """Return the module of obmalloc's library if it is preloaded, else None."""
    for path in os.environ.get("LD_PRELOAD", "").split(":"):
        if os.path.basename(path).startswith("_obmalloc."):
            if "_obmalloc" not in sys.modules:
                import importlib.util
                spec = importlib.util.spec_from_file_location("_obmalloc", path)
                module = importlib.util.module_from_spec(spec)
                spec.loader.exec_module(module)
                sys.modules["_obmalloc"] = module
            return sys.modules["_obmalloc"]
    return None


def _module():
    """Return obmalloc's module in a patched interpreter or where its library is preloaded, None
    anywhere else."""
    try:
        import _obmalloc
        return _obmalloc
    except ImportError:
        return _preloaded_module()


def allocator_stats():
    """Return what obmalloc says of its own heap (dictionary), None where it does not serve."""
    module = _module()
    if module is None:
        return None
    stats = module.stats()
    return dict([(name, stats[name]) for name in stats if name != "classes"])


def largest_served():
    """Return the bytes (int) of the largest block that is not the system malloc's."""
    module = _module()
    if module is None or not module.settings().get("medium"):
        return SMALL_MAX
    return module.stats()["classes"][-1]["size"]


def pymalloc_arena_bytes():
    """Return the bytes (int) of the arenas that CPython's own pymalloc has mapped now, 0 if it has
    none, or None if the interpreter does not tell.

    It tells in words on the standard error, some KiB that fit in a pipe.
    """
    if not hasattr(sys, "_debugmallocstats"):
        return None
    sys.stderr.flush()
    kept = os.dup(2)
    answers, words = os.pipe()
    os.dup2(words, 2)
    os.close(words)
    try:
        sys._debugmallocstats()
    finally:
        os.dup2(kept, 2)
        os.close(kept)
    text = []
    piece = os.read(answers, READ_SIZE)
    while piece:
        text.append(piece)
        piece = os.read(answers, READ_SIZE)
    os.close(answers)
    for line in type(piece)().join(text).decode("ascii", "replace").splitlines():
        if " bytes/arena " in line:
            return int(line.split("=")[1].replace(",", ""))
    return 0


def kept_by():
    """Return who keeps the memory that is resident now (dictionary), as far as each tells.

    anonymous_bytes: what is not of files, or None. mallinfo: glibc's, allocator: obmalloc's,
    pymalloc_arena_bytes: pymalloc's; each as the functions above return it.
    """
    return {"anonymous_bytes": kibibyte_field(read_text("/proc/self/smaps_rollup"), "Anonymous"),
            "mallinfo": mallinfo(), "allocator": allocator_stats(),
            "pymalloc_arena_bytes": pymalloc_arena_bytes()}


# --- The report --------------------------------------------------------------------------------

def to_json(value):
    """Return value (None, bool, number, str, list, tuple, dictionary by str) as JSON text (str).

    Python 2.4 has no json module; the names and figures of a workload need no more than this.
    """
    if value is None:
        return "null"
    if value is True or value is False:
        return str(value).lower()
    if isinstance(value, float):
        return "%.9f" % value
    if isinstance(value, str):
        return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    if isinstance(value, (list, tuple)):
        return "[%s]" % ", ".join([to_json(item) for item in value])
    if isinstance(value, dict):
        return "{%s}" % ", ".join(["%s: %s" % (to_json(key), to_json(value[key]))
                                   for key in sorted(value)])
    return "%d" % value


class Recorder:
    """The clock readings and the memory at the end of each phase of one run of a workload.

    cgroup, malloc: whether each mark also reads the memory of our cgroup and glibc's mallinfo2.
    """

    def __init__(self, scenario, cgroup=False, malloc=False):
        self.scenario = scenario
        self.cgroup = cgroup
        self.malloc = malloc
        self.phases = []
        self.measuring = [0.0, 0.0, 0.0]
        self.memory()               # what the first reading itself allocates is not the workload's
        self.epoch = epoch_seconds()
        self.origin = clock()

    def memory(self):
        """Return what the system says about memory now (dictionary: name with unit to value)."""
        rss, huge = resident()
        figures = {"rss_bytes": rss, "anon_huge_pages_bytes": huge}
        if self.cgroup:
            figures["cgroup_memory_bytes"] = cgroup_memory_bytes()
        if self.malloc:
            figures["mallinfo"] = mallinfo()
        return figures

    def cpu(self):
        """Return (user, system) CPU time of all that is measured (float, seconds)."""
        return cpu_seconds()

    def peak(self):
        """Return the most that was resident of all that is measured (int, bytes), or None."""
        return peak_rss_bytes()

    def mark(self, phase, kept=False):
        """Note that the phase (str) ends now. The clocks are read before the memory. kept: whether
        to note as well who keeps it.

        To read the memory takes time, the more the more is resident. That time belongs to no phase:
        measuring_seconds has it by the clock, and user_seconds and system_seconds are without it.
        """
        wall = clock()
        user, system = self.cpu()
        figures = self.memory()
        if kept:
            figures["kept_by"] = kept_by()
        figures["phase"] = phase
        figures["wall_seconds"] = wall - self.origin
        figures["user_seconds"] = user - self.measuring[1]
        figures["system_seconds"] = system - self.measuring[2]
        user_after, system_after = self.cpu()
        figures["measuring_seconds"] = clock() - wall
        took = [figures["measuring_seconds"], user_after - user, system_after - system]
        self.measuring = [sum(pair) for pair in zip(self.measuring, took)]
        self.phases.append(figures)

    def sleep(self, seconds, phase):
        """Do nothing for so many seconds (number), and mark the phase (str). That is no time of the
        work's: it is noted as time that measuring takes."""
        begin = clock()
        time.sleep(seconds)
        self.measuring[0] += clock() - begin
        self.mark(phase)

    def rest(self, parameters):
        """With seconds in parameters["idle"] ("2,10"): sleep, mark "idle 2" and "idle 10", so long
        after the last mark, write the line, and end the process.

        So that what is measured next is not disturbed, nothing follows but sleep: no figures are
        reckoned, no interpreter is torn down.
        """
        if not parameters["idle"]:
            return
        released = self.phases[-1]
        released["allocator"] = allocator_stats()
        self.tell_that_the_work_is_done()
        trim_if_asked()
        for seconds in parameters["idle"].split(","):
            end = released["wall_seconds"] + float(seconds)
            time.sleep(max(end - (clock() - self.origin), 0))
            self.mark("idle " + seconds)
        self.finish(parameters)
        os._exit(0)

    def end(self, parameters, figures=None):
        """Rest if parameters ask for it, else write the line, with what the workload found out
        itself (dictionary) and what obmalloc says of its heap."""
        self.rest(parameters)
        self.finish(parameters, dict(figures or {}, allocator=allocator_stats()))

    def tell_that_the_work_is_done(self):
        """Write a first line: what is measured next may begin."""
        sys.stdout.write("resting\n")
        sys.stdout.flush()

    def finish(self, parameters, figures=None):
        """Write the line. parameters: what the run was given (dictionary: str to number or str).

        figures: what the workload found out itself (dictionary: str to whatever to_json takes).
        """
        document = {
            "scenario": self.scenario,
            "parameters": parameters,
            "python": ".".join([str(part) for part in sys.version_info[:3]]),
            "start_epoch_seconds": self.epoch,
            "phases": self.phases,
            "figures": figures or {},
            "peak_rss_bytes": self.peak(),
            "measuring": dict(zip(["real_seconds", "user_seconds", "system_seconds"],
                                  self.measuring)),
        }
        sys.stdout.write(to_json(document) + "\n")
        sys.stdout.flush()


def begin(scenario, cgroup=False):
    """Return a recorder that reads glibc's mallinfo2 too, and has marked the base: what is there
    before the work."""
    recorder = Recorder(scenario, cgroup, malloc=True)
    gc.collect()
    recorder.mark("base")
    return recorder


def run_program(scenario, programs, default, run):
    """Have run do the program that --program names, one of the values of a dictionary, with --size,
    and write the line. default: the program's name."""
    parameters = options({"program": default, "size": 200000})
    if parameters["program"] not in programs:
        refuse("no program %r; there are: %s" % (parameters["program"], ", ".join(sorted(programs))))
    recorder = Recorder(scenario)
    recorder.mark("start")
    run(programs[parameters["program"]], parameters["size"])
    recorder.mark("end")
    recorder.finish(parameters)


# --- The command line --------------------------------------------------------------------------

def options(defaults):
    """Return defaults (dictionary: name to int or str) with what ``--name VALUE`` changes.

    A value is read as its default is: a number, or text. Ends the process with one line and
    status 2 when the command line is anything else.
    """
    values = dict(defaults)
    words = sys.argv[1:]
    while words:
        name = words[0].replace("--", "", 1).replace("-", "_")
        known = words[0][:2] == "--" and name in values and len(words) > 1
        if known and isinstance(defaults[name], str):
            values[name] = words[1]
        elif known and words[1].isdigit():
            values[name] = int(words[1])
        else:
            usage = " ".join(["[--%s %s]" % (key.replace("_", "-"), defaults[key])
                              for key in sorted(defaults)])
            refuse("cannot understand %r; usage: %s" % (" ".join(words[:2]), usage))
        words = words[2:]
    return values


def refuse(reason):
    """End the process with one line (str) and status 2."""
    sys.stderr.write("%s: %s\n" % (os.path.basename(sys.argv[0]), reason))
    sys.exit(2)


try:
    integers = xrange       # Python 2, where range builds a list of objects that are never freed
except NameError:
    integers = range
