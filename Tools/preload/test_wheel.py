"""The wheel in a clean virtual environment, and each way in from there."""

import os
import shutil
import subprocess
import tempfile
import unittest

from helpers import PACKAGE, TIMEOUT_SECONDS, Programs, for_each_interpreter


@for_each_interpreter
class Wheel(Programs):

    def command(self, *arguments, **variables):
        environment = self.environment(**variables)
        del environment["PYTHONPATH"]
        done = subprocess.run(arguments, env=environment, cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, 0, f"{arguments}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def test_in_a_virtual_environment(self):
        self.needs_module("ensurepip")
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)
        python = os.path.join(self.folder, "venv/bin/python")
        self.command(self.python.path, "-m", "venv", "venv")
        wheel = next(PACKAGE.glob("obmalloc-*.whl"))
        self.assertIn("-py3-none-", wheel.name)
        self.command(python, "-m", "pip", "install", "--quiet", "--no-index", str(wheel))
        program = os.path.join(self.folder, "program.py")
        with open(program, "w") as file:
            file.write(self.code("""
                import json, sys
                if 'install' in sys.argv:
                    import obmalloc
                    obmalloc.install()
                text = json.dumps([{'name': str(i), 'values': list(range(i % 9))} for i in range(5000)])
                assert len(json.loads(text)) == 5000
                print(serves())
                """))
        self.assertEqual(self.command(python, program), "False")
        self.assertEqual(self.command(python, "-m", "obmalloc", "run", program), "True")
        library = self.command(python, "-m", "obmalloc", "path")
        self.assertTrue(library.startswith(self.folder), library)
        self.assertEqual(self.command(python, program, LD_PRELOAD=library), "True")
        if not self.python.debug:
            self.assertEqual(self.command(python, program, "install"), "True")


if __name__ == "__main__":
    unittest.main()
