"""What the pictures have in common: colours, panels without a frame, words above and below.

Colours are of the palette by Okabe and Ito, which people with any kind of colour vision can tell
apart.
"""
from __future__ import annotations

COLOURS = ("#4d4d4d", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
INK, FAINT = "#222222", "#bbbbbb"


def bare(axes, sides: tuple[str, ...], grid: str = "") -> None:
    """Take away all of a panel's frame but the sides named, and quieten its ticks. grid: the axis
    (x or y) that has lines behind what is drawn."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in sides)
        spine.set_color(FAINT)
    axes.tick_params(length=3, color=FAINT, labelcolor=INK)
    if grid:
        axes.grid(axis=grid, color="#eeeeee", linewidth=0.8)
        axes.set_axisbelow(True)


def write_words(figure, title: str, footnote: str, above: float, below: float,
                sizes: tuple[float, float] = (12, 7.5)) -> None:
    """Write the finding at the top of a figure, and where it comes from at its bottom. above, below:
    parts of the figure's height. sizes: of the letters."""
    figure.text(0.015, 1 - above, title, fontsize=sizes[0], fontweight="bold", va="top",
                linespacing=1.35)
    figure.text(0.015, below, footnote, fontsize=sizes[1], color="#666666", va="bottom",
                linespacing=1.4)


def spread_out(wanted: list[float], distance: float, top: float) -> list[float]:
    """Return positions near the wanted ones, in the same order, at least distance apart.

    They are pushed upwards from the lowest, then down again from top where they ran over it.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    placed = list(wanted)
    for below, above in zip(order, order[1:]):
        placed[above] = max(placed[above], placed[below] + distance)
    ceiling = top
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - distance
    return placed
