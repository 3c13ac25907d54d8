"""Systems that withhold something: /proc, writing, address space, descriptors."""

import subprocess
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


@for_each_interpreter
class Harsh(Programs):

    def run_after(self, command, *arguments, status=0, **variables):
        """Have a command run the interpreter; its output and errors."""
        done = subprocess.run([*command, self.python.path, *arguments], env=self.environment(**variables),
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
        out, errors = self.run_in_namespace(mounts, "-m", "obmalloc", "doctor", status=1)
        self.assertEqual((out, errors.count("\n")), ("", 0))
        self.assertIn("no /proc", errors)

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


if __name__ == "__main__":
    unittest.main()
