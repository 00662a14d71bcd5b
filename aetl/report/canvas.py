"""What all figures share: their look, and how they become a file or a part of a page.

Matplotlib's Figure objects without pyplot: no global state, so drawing is safe in a forked job.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from aetl.printable import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#24292f"
"""The colour of text and axes; on a page it gives way to the page's own."""

GROUND = "#fefefe"
"""Behind what has to be read over lines; on a page the card's own."""

COLORS = (
    *("#3f90da", "#e76300", "#832db6", "#a96b59", "#bd1f01"),
    *("#92dadd", "#ffa90e", "#b9ac70", "#717581", "#94a4a2"),
)
"""Petroff's ten (2021, arXiv:2107.02270): told apart with colour vision deficiencies as well, and
legible on white and on dark ground."""

GREY, DARK_GREY = COLORS[9], COLORS[8]
VERDICT_COLORS = {
    "positive": COLORS[0],
    "negative": COLORS[1],
    "equivalent": DARK_GREY,
    "undecided": GREY,
    "unknown": GREY,
}

LETTER = 0.078
"""Inches of a letter of 9 points; generously, for a page has a font of its own."""
LINE = 0.15
"""Inches of a line of it."""

DPI = 150
DRAWN = 2_000
"""So many points are drawn one by one, in the colours of the page's ground; more are a picture."""
_CSS_SCALE = 1.35  # CSS pixels to a point
_LEAST = 0.72  # of that, below which letters cannot be read

_STYLE: dict[Any, Any] = {
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titley": 1.0,  # or its place is sought among the ticks, a quarter of the drawing's time
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "lines.linewidth": 1.8,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "image.interpolation": "none",
    "image.composite_image": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "aetl",  # the same file for the same run: no random identifiers
}


def wrapped(text: str, width: int) -> str:
    """On lines of at most ``width`` letters, broken after blanks and signs: nothing is cut off."""
    lines = [""]
    for piece in re.split(r"(?<=[\s/_,=·→-])", printable(text)):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return "\n".join(line.strip() for line in lines)


class Labels(list[str]):
    """Names on lines of at most ``width`` letters, and the room that they take."""

    def __init__(self, names: Iterable[str], width: int) -> None:
        super().__init__(wrapped(name, width) for name in names)

    @property
    def inches(self) -> float:
        """Of the longest line."""
        return LETTER * max((len(line) for name in self for line in name.split("\n")), default=0)

    @property
    def lines(self) -> int:
        """Of the name with the most."""
        return max((name.count("\n") + 1 for name in self), default=1)

    def pitch(self, least: float = 0.3) -> float:
        """Inches from one to the next, below each other."""
        return max(least, LINE * self.lines + 0.1)


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, for drawing and for saving them."""
    import matplotlib as mpl

    with mpl.rc_context(_STYLE), warnings.catch_warnings():
        # A class named in a script that Matplotlib's font lacks: the page's own font has it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def png(figure: Figure) -> bytes:
    """On white, for slides and for trackers."""
    buffer = io.BytesIO()
    _show_all(figure)
    with style():
        figure.savefig(buffer, format="png", facecolor="white", dpi=DPI)
    return buffer.getvalue()


def svg(figure: Figure, label: str) -> str:
    """Inline SVG without addresses that takes its colour and font from the page.

    ``label`` is read out where the figure is not seen, and keeps its identifiers apart from those
    of other figures.
    """
    buffer = io.StringIO()
    _show_all(figure)
    with style():
        figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"| (?:width|height)="[\d.]+pt"', "", text)
    text = text.replace("xlink:href", "href").replace(INK, "currentColor")
    text = text.replace(GROUND, "var(--card, white)")
    for number, color in enumerate(COLORS):  # the page has shades of them for its ground
        text = text.replace(color, f"var(--c{number}, {color})")
    text = re.sub(r"(\.\d\d)\d+", r"\1", text)  # of a point, as are all coordinates
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    # Letters of the same size in all figures of a page, however wide they are.
    width = round(_CSS_SCALE * 72 * figure.get_figwidth())
    # On a narrow screen they scroll rather than become too small to read.
    size = f"max-width: {width}px; min-width: {round(_LEAST * width)}px"
    head = f'<svg class="figure" style="{size}" role="img" '
    head += f'aria-label="{escape(label)}" '
    return _own_identifiers(text, label).replace("<svg ", head, 1)


def _show_all(figure: Figure) -> None:
    """Show names as everywhere: at bytes that are no text, drawing fails."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_text(printable(text.get_text()))


def _own_identifiers(text: str, label: str) -> str:
    """Identifiers that nothing refers to removed, the others made unlike those of other figures."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    prefix = re.sub(r"\W+", "-", label)
    text = re.sub(
        r' id="([^"]*)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", text
    )
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{prefix}-", text)


def axes_grid(width: float, height: float, **grid: Any) -> tuple[Figure, np.ndarray]:
    """A figure with a grid of axes as an array [rows, columns]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    return figure, figure.subplots(squeeze=False, **grid)
