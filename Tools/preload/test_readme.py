"""The commands and programs of README.md, copied from there, in a clean virtual environment.

Servers that README.md starts are stand-ins here: they say whether obmalloc serves them.
Files that only other machines read (Dockerfile, compose.yaml, a systemd unit) are taken
apart, and what they start is started.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile

from helpers import PACKAGE, ROOT, TIMEOUT_SECONDS, Programs, for_each_interpreter

FAR_SECONDS = 250
README = (ROOT / "README.md").read_text(encoding="utf-8")
ELSEWHERE = "make bench", "make test"       # other tests are about these

# What stands in for a server, and for the reader's program.
STAND_IN = """
import json, obmalloc, sys
print(json.dumps({"active": obmalloc.active(), "settings": obmalloc.settings(), "arguments": sys.argv[1:]}))
"""


def blocks(language):
    """The blocks of README.md that are fenced with a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def shell_lines():
    """The commands of its indented blocks, without their comments."""
    without_fenced = re.sub(r"^```.*?^```$", "", README, flags=re.M | re.S)
    return [re.sub(r"\s+#.*", "", line).strip() for line in re.findall(r"^    (\S.*)$", without_fenced, re.M)]


@for_each_interpreter
class Readme(Programs):

    settings = ""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.bin = os.path.join(cls.folder, "venv/bin")
        for name in "app.py", "gunicorn.py":
            cls.write(name, STAND_IN)

    @classmethod
    def write(cls, name, text):
        with open(os.path.join(cls.folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        return os.path.join(cls.folder, name)

    def setUp(self):
        self.needs_module("ensurepip")
        if not os.path.exists(self.bin):
            self.shell(f"{self.python.path} -m venv venv")
            self.pip_install()
            for name in "gunicorn", "celery":
                os.chmod(self.write(f"venv/bin/{name}", f"#!{self.bin}/python\n{STAND_IN}"), 0o755)

    def environment(self, **variables):
        """Of a shell in which the virtual environment is active, and pip finds the wheel without a network."""
        return {**super().environment(PYTHONPATH="", **variables),
                "PATH": f"{self.bin}:{os.environ['PATH']}", "VIRTUAL_ENV": os.path.dirname(self.bin),
                "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(PACKAGE), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def shell(self, line, status=0, **variables):
        """Run a line as a shell does; return what it printed."""
        done = subprocess.run(["sh", "-c", line], env=self.environment(**variables), cwd=self.folder,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, status, f"{line}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def served(self, line, arguments, **variables):
        """Run a line that ends in a stand-in; return the settings in force there."""
        told = json.loads(self.shell(line, **variables).splitlines()[-1])
        self.assertEqual((told["active"], told["arguments"]), (True, arguments))
        return told["settings"]

    @contextlib.contextmanager
    def process(self):
        """A process that obmalloc serves, for a while."""
        code = "import sys; print('ready', flush=True); sys.stdin.read()"
        with subprocess.Popen([f"{self.bin}/obmalloc", "run", "-c", code], env=self.environment(), cwd=self.folder,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            self.assertEqual(process.stdout.readline(), "ready\n")
            yield process.pid
            process.stdin.close()
            self.assertEqual(process.wait(TIMEOUT_SECONDS), 0)

    # One method for each command of README.md -----------------------------------------------

    def pip_install(self, line="pip install obmalloc"):
        self.shell(line)
        self.assertTrue(os.path.exists(f"{self.bin}/obmalloc"))

    def run_app(self, line):
        self.served(line, [])

    def run_gunicorn(self, line):
        self.served(line, ["app:app"])

    def run_celery(self, line):
        self.served(line, ["-A", "tasks", "worker"])

    def doctor(self, line):
        self.assertIn("obmalloc is not in force in this interpreter", self.shell(line, status=1))

    def doctor_of_process(self, line):
        with self.process() as pid:
            self.assertIn(f"obmalloc is in force in process {pid}", self.shell(line.replace("1234", str(pid))))

    def stats(self, line):
        with self.process() as pid:
            self.assertIn("page floor", self.shell(line.replace("1234", str(pid))))

    def watch(self, line):
        with self.process() as pid:
            self.assertTrue(self.shell(line.replace("1234", str(pid)) + " --count 1"))

    def example(self, line, waiting=""):
        """Run the example; return its two figures."""
        example, = [block for block in blocks("python") if "sleep" in block]
        self.assertIn("time.sleep(5)", example)
        self.write("example.py", example.replace("time.sleep(5)", waiting))
        printed = re.fullmatch(r"(\d+) MiB at the peak, (\d+) MiB afterwards", self.shell(line))
        return int(printed[1]), int(printed[2])

    def example_without(self, line):
        peak, after = self.example(line)
        self.assertGreater(after, peak / 2)

    def example_with(self, line):
        # Five seconds may be short on a busy machine.
        peak, after = self.example(line, "\nend = time.monotonic() + %d\n"
                                         "while mib() > peak / 4 and time.monotonic() < end: time.sleep(0.1)" % FAR_SECONDS)
        self.assertLessEqual(after, peak / 4)

    commands = {
        "pip install obmalloc": pip_install,
        "obmalloc run app.py": run_app,
        "obmalloc run gunicorn app:app": run_gunicorn,
        "LD_PRELOAD=$(obmalloc path) gunicorn app:app": run_gunicorn,
        "obmalloc run celery -A tasks worker": run_celery,
        "obmalloc doctor": doctor,
        "obmalloc doctor --pid 1234": doctor_of_process,
        "obmalloc stats --pid 1234": stats,
        "obmalloc watch --pid 1234": watch,
        "python example.py": example_without,
        "obmalloc run example.py": example_with,
    }

    def test_shell(self):
        lines = [line for line in shell_lines() if line not in ELSEWHERE]
        self.assertEqual(set(lines), set(self.commands))
        for line in lines:
            with self.subTest(line):
                self.commands[line](self, line)

    def test_dockerfile_and_compose(self):
        self.needs(not self.python.debug, "a debug build has its hooks in front already")
        dockerfile, = blocks("dockerfile")
        compose, = blocks("yaml")
        commands = re.findall(r"^RUN (.*)$", dockerfile, re.M)
        self.assertEqual(len(commands), 1)
        self.shell(commands[0])
        setting = re.search(r"^ *PYTHONOBMALLOC: (.*)$", compose, re.M)[1]
        self.assertEqual(self.served(re.search(r"^ *command: (.*)$", compose, re.M)[1], ["app:app"],
                                     PYTHONOBMALLOC=setting)["background"], 1)
        self.served("python app.py", [])
        undo = re.search(r"`(obmalloc disable)`", README)[1]
        self.shell(undo)
        self.assertIn('"active": false', self.shell("python app.py"))

    def test_systemd(self):
        unit, = blocks("ini")
        command = re.search(r"^ExecStart=(.*)$", unit, re.M)[1]
        self.assertTrue(command.startswith("/srv/app/venv/bin/"))
        self.served(command.replace("/srv/app/venv/bin", self.bin), ["app:app"])

    def test_from_within(self):
        self.needs(not self.python.debug, "a debug build has its hooks in front already")
        program, = [block for block in blocks("python") if "install()" in block]
        self.write("program.py", program + "print(obmalloc.active())\n")
        self.assertEqual(self.shell("python program.py"), "True")
