"""Systems that withhold something: /proc, writing, address space, descriptors, system calls."""

import json
import os
import subprocess
import sys
import tempfile
import unittest

from helpers import LIBRARY, TIMEOUT_SECONDS, Programs, for_each_interpreter

# Memory that comes and goes, so that arenas are mapped and pages given back.
WORK = """
import obmalloc
for _ in range(3):
    made = [(number, str(number)) for number in range(200_000)]
    kept = made[::1000]
    del made
del kept
obmalloc.check()
obmalloc.trim()
print(obmalloc.active(), sum(obmalloc.stats()[name] for name in ('arenas_released', 'pages_purged')) > 100)
"""


# Run a command to which the kernel refuses madvise(), by a filter as containers have them.
REFUSING_MADVISE = """
import ctypes, errno, os, platform, struct, sys
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD_NUMBER, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06       # a word at offset 0 is the call's number
SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW = 0x00050000, 0x7fff0000
madvise = {'x86_64': 28, 'aarch64': 233}[platform.machine()]
instructions = ((LOAD_NUMBER, 0, 0, 0), (JUMP_IF_EQUAL, 0, 1, madvise),
                (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM), (RETURN, 0, 0, SECCOMP_RET_ALLOW))
code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *one) for one in instructions))
program = ctypes.create_string_buffer(struct.pack('@HP', len(instructions), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
for call in (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
    if libc.prctl(*(ctypes.c_ulong(word) if isinstance(word, int) else word for word in call)):
        sys.exit('prctl: ' + os.strerror(ctypes.get_errno()))
os.execvp(sys.argv[1], sys.argv[1:])
"""


@for_each_interpreter
class Harsh(Programs):

    def run_after(self, command, *arguments, status=0, **variables):
        """Have a command run the interpreter; its output and errors.  Only the interpreter gets the
        library: the command may have another C library."""
        preload = [f"LD_PRELOAD={variables.pop('LD_PRELOAD', '')}"]
        done = subprocess.run([*command, "env", *preload, self.python.path, *arguments],
                              env=self.environment(**variables),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, status, f"{done.stdout}\n{done.stderr}")
        return done.stdout.strip(), done.stderr.strip()

    def run_limited(self, limit, *arguments, **options):
        """The same under a limit, in the words of the shell."""
        return self.run_after(["sh", "-c", f'ulimit {limit} && exec "$@"', "sh"], *arguments, **options)

    def run_in_namespace(self, mounts, *arguments, **options):
        """The same after mounts that only it sees."""
        alone = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$@"', "sh"]
        try:
            works = subprocess.run([*alone, "true"], capture_output=True, stdin=subprocess.DEVNULL).returncode == 0
        except FileNotFoundError:
            works = False
        self.needs(works, "no mount namespace of its own here")
        return self.run_after(alone, *arguments, **options)

    def test_without_proc(self):
        mounts = "mount -t tmpfs none /proc"
        preloaded = {"LD_PRELOAD": str(LIBRARY)}
        self.assertEqual(self.run_in_namespace(mounts, "-c", WORK, **preloaded), ("True True", ""))
        self.assertEqual(self.run_in_namespace(mounts, "-m", "obmalloc", "run", "-c", WORK), ("True True", ""))
        code = "import obmalloc\nobmalloc.resident()"
        _, errors = self.run_in_namespace(mounts, "-c", code, status=1, **preloaded)
        self.assertRegex(errors, "this system has no /proc|/proc/self/pagemap")
        for variables, status, first in (
                ({}, 1, "obmalloc is not in force in this interpreter "),
                (preloaded, 0, "obmalloc is in force in this interpreter "),
                ({**preloaded, "PYTHONMALLOC": "malloc", "OBMALLOC_QUIET": "1"}, 1, "obmalloc is not in force ")):
            out, errors = self.run_in_namespace(mounts, "-m", "obmalloc", "doctor", status=status, **variables)
            self.assertEqual((out[:len(first)], errors), (first, ""))
            self.assertIn("\nno /proc        so how obmalloc came here", out)
            self.assertIn("preloaded" if not variables else
                          "PYTHONMALLOC=malloc sends" if status else "served by", out)
            told = json.loads(self.run_in_namespace(mounts, "-m", "obmalloc", "doctor", "--json", status=status,
                                                    **variables)[0])
            self.assertEqual((told["in_force"], told["how"], told["malloc"]), (status == 0, None, None))
        with tempfile.TemporaryDirectory() as folder:
            unfit = os.path.join(folder, "_obmalloc.so")
            with open(unfit, "w"):      # which the loader does not take
                pass
            for name, why in (("/nowhere/_obmalloc.so", "is not there"),
                              (unfit, "is not in force, and without /proc it is not known why")):
                # With the loader's own lines.
                out = self.run_in_namespace(mounts, "-m", "obmalloc", "doctor", status=1, LD_PRELOAD=name)[0]
                self.assertIn(f"why             LD_PRELOAD names {name}, which {why}\n", out)
        out, errors = self.run_in_namespace(mounts, "-m", "obmalloc", "doctor", "--pid", "1", status=1)
        self.assertEqual((out, errors), ("", "obmalloc: this system has no /proc: other processes cannot be read"))

    def test_where_nothing_can_be_written(self):
        self.assertEqual(self.run_in_namespace("mount -o remount,bind,ro /", "-c", WORK, LD_PRELOAD=str(LIBRARY)),
                         ("True True", ""))

    def test_few_descriptors(self):
        self.assertEqual(self.run_limited("-n 5", "-c", WORK, LD_PRELOAD=str(LIBRARY)),
                         ("True True", ""))
        # Python itself needs a fourth; what the library cannot open it does without.
        self.assertEqual(self.run_limited("-n 4", "-S", "-c", WORK, LD_PRELOAD=str(LIBRARY)),
                         ("True True", ""))

    def test_little_address_space(self):
        out, errors = self.run_limited("-v 400000", "-c", WORK + """
try:
    made = [(number, str(number)) for number in range(10**8)]
except MemoryError:
    made = None
    obmalloc.check()
    print([str(number) for number in range(100_000)][-1])
""", LD_PRELOAD=str(LIBRARY))
        self.assertEqual((out.split("\n"), errors), (["True True", "99999"], ""))

    def test_a_filter_that_refuses_madvise(self):
        refusing = [sys.executable, "-c", REFUSING_MADVISE]
        tried = subprocess.run([*refusing, "true"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.needs(tried.returncode == 0, f"no such filter here: {tried.stderr.strip()}")
        # Arenas that are empty are unmapped all the same; of the others no page goes back,
        # and none is counted as if it had.
        work = """
import obmalloc
for _ in range(3):
    made = [(number, str(number), bytearray(5000 * (number % 100 == 0))) for number in range(100_000)]
    made = made[::2]
    del made
obmalloc.trim()
obmalloc.check(3)
stats = obmalloc.stats()
print(obmalloc.active(), stats['arenas_released'] > 10, stats['purge_failures'] > 0)
print(stats['pages_purged'])
"""
        for settings in "", "hugepages=always", "secure=1":
            with self.subTest(settings):
                out, errors = self.run_after(refusing, "-c", work, LD_PRELOAD=str(LIBRARY), PYTHONOBMALLOC=settings)
                self.assertEqual((out.split("\n"), errors), (["True True True", "0"], ""))


if __name__ == "__main__":
    unittest.main()
