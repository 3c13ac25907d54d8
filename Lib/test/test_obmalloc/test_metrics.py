"""obmalloc.metrics without the packages that it can serve: Tools/preload/test_metrics.py has those."""

import json
import os
import re
import subprocess
import sys
import unittest
from test import support

from obmalloc import metrics

from . import helpers

PROMETHEUS_NAMES = {metric.prometheus_name: metric for metric in metrics.METRICS}


class NameTests(unittest.TestCase):

    def test_names_are_of_opentelemetry(self):
        for metric in metrics.METRICS:
            self.assertRegex(metric.name, r'\Aobmalloc(\.[a-z]+(_[a-z]+)*)+\Z')
            self.assertRegex(metric.unit, r'\A(By|s|\{[a-z]+\})\Z')
            self.assertNotRegex(metric.name, 'total|bytes|seconds')     # that is the unit's, or the kind's

    def test_names_are_of_prometheus(self):
        self.assertEqual(len(PROMETHEUS_NAMES), len(metrics.METRICS))
        for name, metric in PROMETHEUS_NAMES.items():
            self.assertRegex(name, r'\Aobmalloc_[a-z_]+\Z')
            self.assertEqual(name.endswith('_total'), metric.counts, name)
            unit = {'By': '_bytes', 's': '_seconds'}.get(metric.unit, '')
            self.assertTrue(name.removesuffix('_total').endswith(unit), name)

    def test_texts_are_one_line(self):
        for metric in metrics.METRICS:
            self.assertRegex(metric.text, r'\A[A-Z][^\n]+[^.\n]\Z')


class DashboardTests(unittest.TestCase):

    def queries(self):
        for panel in metrics.dashboard()['panels']:
            for target in panel['targets']:
                yield target['expr']

    def test_queries_ask_for_what_the_collector_tells(self):
        asked = {name for query in self.queries() for name in re.findall(r'\b[a-z]+_[a-z_]+(?=[{\[])', query)}
        self.assertEqual(asked, set(PROMETHEUS_NAMES))

    def test_variables_ask_for_what_the_collector_tells(self):
        asked = [variable['query'] for variable in metrics.dashboard()['templating']['list']
                 if variable['type'] == 'query']
        self.assertEqual(len(asked), 2)
        for query in asked:
            self.assertIn(re.match(r'label_values\((\w+)', query)[1], PROMETHEUS_NAMES)

    def test_rates_are_of_what_grows(self):
        for query in self.queries():
            for name, metric in PROMETHEUS_NAMES.items():
                if re.search(rf'\b{name}{{', query):
                    self.assertEqual(f'rate({name}{{' in query, metric.counts, query)

    def test_a_command_prints_it(self):
        command = [sys.executable, '-m', 'obmalloc.metrics']
        done = subprocess.run(command, capture_output=True, text=True, timeout=support.LONG_TIMEOUT)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertEqual(json.loads(done.stdout), metrics.dashboard())
        if os.path.exists('/dev/full'):
            with open('/dev/full', 'w') as full:
                done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True,
                                      timeout=support.LONG_TIMEOUT)
            self.assertEqual((done.returncode, done.stderr),
                             (1, 'obmalloc: the output cannot be written: No space left on device\n'))
        for argument, status, out, errors in (
                ('--help', 0, 'usage: ', ''), ('more', 2, '', 'obmalloc: metrics: unknown argument more: it takes none\n')):
            done = subprocess.run([*command, argument], capture_output=True, text=True, timeout=support.LONG_TIMEOUT)
            self.assertEqual((done.returncode, done.stdout[:len(out) or None], done.stderr), (status, out, errors))

    def test_panels_do_not_overlap(self):
        taken = set()
        for panel in metrics.dashboard()['panels']:
            place = panel['gridPos']
            cells = {(x, y) for x in range(place['x'], place['x'] + place['w'])
                     for y in range(place['y'], place['y'] + place['h'])}
            self.assertFalse(taken & cells, panel['title'])
            self.assertLessEqual(place['x'] + place['w'], 24)
            taken |= cells


class FigureTests(helpers.ChildTest):

    def test_what_was_released_is_what_trim_says(self):
        self.check_child('''
            import obmalloc
            from obmalloc import metrics
            obmalloc.trim()
            kept = fill(8)[::50]
            before = metrics._read()
            went = obmalloc.trim()
            after = metrics._read()
            assert after['released'] - before['released'] == went > 4 * MIB, (went, before, after)
            assert before['retained'] > 4 * MIB > after['retained'], (before, after)
            assert after['trims'] == before['trims'] + 1, (before, after)
            assert after['trim_seconds'] > before['trim_seconds'], (before, after)
            assert after['live'] <= after['floor'] <= after['resident'], after
            assert after['active'] == 1
            ''', PYTHONOBMALLOC='retain=all')

    def test_trim_counts_the_systems_malloc(self):
        self.check_child('''
            import obmalloc
            from obmalloc import metrics
            before = metrics._read()
            obmalloc.trim()
            after = metrics._read()
            # Where the malloc cannot give back (musl), there is nothing to count.
            if before.get('malloc_held') is not None:
                assert after['malloc_trims'] == before['malloc_trims'] + 1, (before, after)
                assert after['malloc_held'] >= after['malloc_free'] > 0, after
            assert after['malloc_trim_seconds'] >= before['malloc_trim_seconds']
            ''')

    def test_not_in_force(self):
        self.check_child('''
            from obmalloc import metrics
            assert metrics._read()['active'] == 0
            ''', PYTHONMALLOC='malloc')

    def test_what_cannot_be_told_is_left_out_and_said_once(self):
        _, err = self.run_child('''
            import obmalloc
            from obmalloc import metrics
            def fails():
                raise MemoryError('planted')
            obmalloc.stats = fails
            for _ in range(3):
                figures = metrics._read()
                assert 'live' not in figures and 'trims' in figures, figures
            ''')
        self.assertEqual(err, ['the heap cannot be told: MemoryError: planted'])


class WithoutPackagesTests(helpers.ChildTest):

    def test_one_line_says_what_to_install(self):
        for package, call, module in (('prometheus-client', 'PrometheusCollector()', 'prometheus_client'),
                                      ('opentelemetry-api', 'instrument(None)', 'opentelemetry')):
            with self.subTest(package):
                out = self.check_child(f'''
                    import sys
                    sys.modules[{module!r}] = None
                    from obmalloc import metrics
                    try:
                        metrics.{call}
                    except ImportError as error:
                        print(error)
                    ''')
                self.assertEqual(out, [f'obmalloc.metrics.{call.replace("None", "")} needs the package {package}: '.replace(
                    'PrometheusCollector()', 'PrometheusCollector') + f'pip install {package}'])


if __name__ == '__main__':
    unittest.main()
