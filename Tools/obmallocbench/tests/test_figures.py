"""Statistics, remarks, table and bars, on the small document."""
import unittest

from obmallocbench import bars, figures, table

from . import sample


class Statistics(unittest.TestCase):
    def test_medians_best_and_ratios(self):
        cpu = figures.summaries(sample.document())["cpu"]["patched"]
        self.assertEqual((cpu.median, cpu.best), (1.0, 0.5))
        self.assertEqual(cpu.ratios, (0.5, 0.5, 0.25))
        self.assertEqual((cpu.ratio, cpu.best_ratio), (0.5, 0.5))

    def test_the_discarded_run_does_not_count(self):
        real = figures.summaries(sample.document())["real"]["stock"]
        self.assertEqual(real.median, 2.0)

    def test_memory_in_mebibytes(self):
        summaries = figures.summaries(sample.document())
        self.assertEqual(summaries["rss freed"]["patched"].median, 12)
        self.assertEqual(summaries["peak"]["stock"].best, 90)

    def test_a_time_of_zero_has_no_ratio(self):
        summary = figures.summarize([0.1, 0.2], [0.0, 0.0])
        self.assertEqual(summary.ratios, ())
        self.assertIsNone(summary.ratio)
        self.assertIsNone(summary.best_ratio)

    def test_pairs_must_match(self):
        with self.assertRaises(ValueError):
            figures.paired_ratios([1.0], [1.0, 2.0])

    def test_spread(self):
        self.assertIsNone(figures.spread([1.0]))
        self.assertEqual(figures.spread([1.0, 1.0, 1.0]), 0)
        self.assertAlmostEqual(figures.spread([0.9, 1.0, 1.1]), 0.1)

    def test_noise_and_unlike_interpreters_are_said(self):
        document = sample.document()
        self.assertTrue(any(remark.startswith("noisy") and "patched" in remark
                            for remark in figures.remarks(document)))
        document["interpreters"]["patched"]["sha256"] = "a"
        document["load_average"]["before"][0] = 5.0
        said = " ".join(figures.remarks(document))
        self.assertIn("same file", said)
        self.assertIn("busy", said)

    def test_quiet(self):
        document = sample.document()
        document["arms"] = [sample.arm(name, [1.0, 1.0], 11) for name in ("stock", "patched")]
        self.assertIn("quiet", " ".join(figures.remarks(document)))


class Table(unittest.TestCase):
    def test_fits_and_drops_the_least_important_first(self):
        document = sample.document()
        for width in (120, 80, 62, 55):
            text = table.text(document, width)
            self.assertLessEqual(max(map(len, text.splitlines())), width)
        self.assertIn("pairs", table.text(document, 80))
        self.assertNotIn("pairs", table.text(document, 70))
        self.assertIn("× stock", table.text(document, 55))

    def test_columns_are_aligned(self):
        columns = [table.Column("a", ("x", "yy"), left=True), table.Column("n", ("1", "10"))]
        self.assertEqual(table.render(columns), "a    n\nx    1\nyy  10")

    def test_figures_are_there(self):
        line = next(line for line in table.text(sample.document(), 100).splitlines()
                    if line.split()[:1] == ["patched"])
        self.assertEqual(line.split(), ["patched", "1.000", "0.500", "0.500", "0.25–0.50", "0.500"])

    def test_thousands_apart(self):
        self.assertEqual(table.whole_numbers({"objects": 1000000}), "1 000 000 objects")


class Bars(unittest.TestCase):
    def test_cleared(self):
        verdicts = bars.check(sample.document())
        self.assertEqual([bar.cleared for bar in verdicts], [True, True])
        self.assertEqual([bar.measured for bar in verdicts], [2.0, 0.5])
        self.assertTrue(str(verdicts[0]).startswith("PASS"))

    def test_one_run_too_high_fails(self):
        document = sample.document()
        patched = document["arms"][1]["runs"][-1]
        patched["phases"][2]["rss_bytes"] += 4 * sample.MEBIBYTE
        self.assertEqual([bar.cleared for bar in bars.check(document)], [False, True])

    def test_slower_fails(self):
        document = sample.document()
        document["arms"][1] = sample.arm("patched", [1.01, 2.0, 4.0], 10)
        verdicts = bars.check(document)
        self.assertEqual([bar.cleared for bar in verdicts], [True, False])
        self.assertTrue(str(verdicts[1]).startswith("FAIL"))
