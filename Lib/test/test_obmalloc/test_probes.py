"""Static probes: gdb stops at each as often as the statistics say."""

import json
import re
import shutil
import subprocess
import sys
import unittest
from test.support import LONG_TIMEOUT

from .helpers import ChildTest

# Which figure counts what a probe tells.
COUNTERS = {'arena__map': 'arenas_mapped', 'arena__release': 'arenas_released',
            'purge': 'purge_calls', 'refault': 'refaults'}


def probes():
    """The names of the probes of this interpreter; nothing if it was built without."""
    if not shutil.which('readelf') or not shutil.which('gdb'):
        return set()
    done = subprocess.run(['readelf', '-n', sys.executable], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True)
    return set(re.findall(r'Provider: obmalloc\s+Name: (\S+)', done.stdout))


@unittest.skipUnless(probes(), 'built without <sys/sdt.h>, or no gdb and readelf here')
class ProbeTests(ChildTest):

    def test_all_are_there(self):
        self.assertEqual(probes(), set(COUNTERS))

    def test_each_is_met_as_often_as_counted(self):
        # The program ends by os._exit(), so that nothing comes after the figures.
        code = self.child_code('''
            import json
            for step in 500, 500, 1 << 30:
                objects = fill(4)
                kept = objects[::step]
                del objects
                _obmalloc.trim()
            print('figures', json.dumps(figures()), flush=True)
            os._exit(0)
            ''')
        breaks = []
        for number, name in enumerate(COUNTERS, 1):
            # One probe may stand at several places; its breakpoint counts them all.
            breaks += ['-ex', f'break -probe-stap obmalloc:{name}', '-ex', f'ignore {number} 10000000']
        done = subprocess.run(
            ['gdb', '-nx', '-batch', *breaks, '-ex', 'run', '-ex', 'info breakpoints',
             '--args', sys.executable, '-c', code],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.child_environment({'DEBUGINFOD_URLS': ''}), timeout=LONG_TIMEOUT)
        found = re.search('figures (.*)', done.stdout)
        if found is None:
            self.skipTest('gdb cannot run a program here: ' + done.stdout[-200:])
        figures = json.loads(found.group(1))
        for name, counter in COUNTERS.items():
            hits = re.search(rf'obmalloc:{name}\s+breakpoint already hit (\d+) times?', done.stdout)
            self.assertIsNotNone(hits, (name, done.stdout[-3000:]))
            # Printing the figures may purge a little more.
            more = int(hits.group(1)) - figures[counter]
            self.assertTrue(0 <= more < 30, (name, more, figures))
        self.assertGreater(min(figures[counter] for counter in COUNTERS.values()), 0, figures)


if __name__ == '__main__':
    unittest.main()
