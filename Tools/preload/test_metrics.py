"""obmalloc.metrics with prometheus_client and OpenTelemetry's packages.

`make test` puts them into build/packages; where they are missing the tests say so.
"""

import json
import os

from helpers import PACKAGE, PACKAGES, ROOT, Programs, for_each_interpreter

NAMES = (ROOT / "Tools/preload/packages.txt").read_text().split()


@for_each_interpreter
class Metrics(Programs):

    def setUp(self):
        super().setUp()
        self.folder = PACKAGES / "-".join((f"python{'.'.join(map(str, self.python.version[:2]))}", *NAMES))
        self.needs((self.folder / "complete.json").exists(),
                   f"{self.folder} is missing, which `make test` gets from PyPI")

    def tell(self, text):
        """Run a program that prints JSON, with the packages at hand."""
        return json.loads(self.run_preloaded(
            text, PYTHONPATH=os.pathsep.join([str(PACKAGE), str(self.folder)]), PYTHONOBMALLOC="retain=all"))

    def test_prometheus(self):
        told = self.tell("""
            import json, prometheus_client, obmalloc
            from prometheus_client import parser
            from obmalloc import metrics
            calls = []
            stats = obmalloc.stats
            obmalloc.stats = lambda: calls.append(1) or stats()
            registry = prometheus_client.CollectorRegistry()
            registry.register(metrics.PrometheusCollector())
            assert not calls            # registering reads nothing
            def scrape():
                text = prometheus_client.generate_latest(registry).decode()
                families = list(parser.text_string_to_metric_families(text))
                return ({sample.name: sample.value for family in families for sample in family.samples},
                        {family.name: family.type for family in families}, text)
            held = [bytes(400) for i in range(100_000)]
            before, types, text = scrape()
            del held
            went = obmalloc.trim()
            after, _, _ = scrape()
            print(json.dumps({
                "before": before, "after": after, "types": types, "text": text, "went": went, "calls": len(calls),
                "metrics": [(m.prometheus_name, m.counts, m.text) for m in metrics.METRICS]}))
            """)
        names = {name for name, _, _ in told["metrics"]}
        if "obmalloc_system_malloc_held_bytes" not in told["before"]:       # no glibc
            names -= {"obmalloc_system_malloc_held_bytes", "obmalloc_system_malloc_free_bytes"}
        before, after = told["before"], told["after"]
        self.assertEqual(set(before), names)
        self.assertEqual(told["calls"], 2)
        for name, counts, text in told["metrics"]:
            if name in names:
                self.assertEqual(told["types"][name.removesuffix("_total")], "counter" if counts else "gauge")
                self.assertIn(f"# HELP {name} {text}\n", told["text"])
        live, released = "obmalloc_memory_live_bytes", "obmalloc_memory_released_bytes_total"
        self.assertGreater(before[live] - after[live], 40_000_000)
        self.assertGreater(told["went"], 40_000_000)
        self.assertEqual(after[released] - before[released], told["went"])
        self.assertEqual(after["obmalloc_trims_total"], before["obmalloc_trims_total"] + 1)
        self.assertEqual(after["obmalloc_active"], 1)

    def test_a_scrape_never_fails(self):
        told = self.tell("""
            import json, logging, prometheus_client, obmalloc
            from obmalloc import metrics, _kernel
            logging.getLogger('obmalloc.metrics').addHandler(logging.NullHandler())
            logging.getLogger('obmalloc.metrics').propagate = False
            def fails(*arguments):
                raise OSError('planted')
            obmalloc.stats = obmalloc.active = _kernel.process_bytes = fails
            registry = prometheus_client.CollectorRegistry()
            registry.register(metrics.PrometheusCollector())
            text = prometheus_client.generate_latest(registry).decode()
            print(json.dumps([line.split()[2] for line in text.splitlines() if line.startswith('# TYPE')]))
            """)
        self.assertIn("obmalloc_trims_total", told)
        self.assertNotIn("obmalloc_memory_live_bytes", told)

    def test_opentelemetry(self):
        told = self.tell("""
            import json, obmalloc
            from obmalloc import metrics
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader
            calls = []
            stats = obmalloc.stats
            obmalloc.stats = lambda: calls.append(1) or stats()
            reader = InMemoryMetricReader()
            metrics.instrument(MeterProvider(metric_readers=[reader]).get_meter('test'))
            def collect():
                found = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
                return {metric.name: (metric.data.data_points[0].value, metric.unit, metric.description,
                                      getattr(metric.data, 'is_monotonic', None)) for metric in found}
            held = [bytes(400) for i in range(100_000)]
            before = collect()
            del held
            went = obmalloc.trim()
            after = collect()
            print(json.dumps({"before": before, "after": after, "went": went, "calls": len(calls),
                              "metrics": {m.name: (m.unit, m.text, m.counts) for m in metrics.METRICS}}))
            """)
        before, after = told["before"], told["after"]
        self.assertEqual(told["calls"], 2)      # one for all instruments
        self.assertLessEqual(set(told["metrics"]) - set(before),
                             {"obmalloc.system_malloc.held", "obmalloc.system_malloc.free"})
        for name, (_, unit, text, grows) in before.items():
            self.assertEqual([unit, text, grows], told["metrics"][name])        # None: a gauge
        live, released = "obmalloc.memory.live", "obmalloc.memory.released"
        self.assertGreater(before[live][0] - after[live][0], 40_000_000)
        self.assertEqual(after[released][0] - before[released][0], told["went"])

    def test_opentelemetry_tells_prometheus_the_same_names(self):
        told = self.tell("""
            import json, prometheus_client
            from obmalloc import metrics
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from opentelemetry.sdk.metrics import MeterProvider
            metrics.instrument(MeterProvider(metric_readers=[PrometheusMetricReader()]).get_meter('test'))
            names = [sample.name for family in prometheus_client.REGISTRY.collect() for sample in family.samples]
            print(json.dumps([names, [metric.prometheus_name for metric in metrics.METRICS]]))
            """)
        exported, ours = map(set, told)
        self.assertLessEqual(ours - exported,
                             {"obmalloc_system_malloc_held_bytes", "obmalloc_system_malloc_free_bytes"})
        self.assertEqual({name for name in exported if name.startswith("obmalloc_")} - ours, set())
