"""Figures: threads draw diagrams with Matplotlib's Agg, and drop them.

After reports on web services and jobs that draw in threads, with close() and without.
"""
import io

import numpy
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import phases

THREADS = 4


def draw(numbers: range, sizes: list[int]) -> None:
    """Draw figures with these numbers, one after the other; note the size of each PNG."""
    for number in numbers:
        chance = numpy.random.default_rng(number)
        figure = Figure(figsize=(9, 6), dpi=150)
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2)
        left.plot(chance.random(20_000).cumsum(), label=f"walk {number}")
        left.scatter(chance.random(2_000) * 20_000, chance.random(2_000) * 1e4, s=4)
        left.legend()
        right.imshow(chance.random((600, 600)))
        right.set_title(f"field {number}")
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        sizes.append(len(stream.getvalue()))


def work(figures: int, _) -> list[int]:
    """Have threads draw; return the sizes of the PNG files."""
    sizes: list[int] = []
    phases.in_threads(*((draw, range(first, figures, THREADS), sizes) for first in range(THREADS)))
    return sizes


phases.run("figures", work, {"figures": 12})
