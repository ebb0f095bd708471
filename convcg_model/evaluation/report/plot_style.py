"""Colours and type of the report's plots, and their way into the page as inline SVG.

Matplotlib is loaded here and by the plots, nowhere else. Colours are those of the light page; in
the SVG they become the page's CSS variables, so that the plots follow it into dark mode. Text stays
text, in the page's font.
"""

import io
import re
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from convcg_model.evaluation.result import EvaluationConfig

INK, MUTED, RULE = "#1d2329", "#68727d", "#dde1e6"
MODEL, BASELINE, CEILING, SECOND = "#b3123a", "#98a3af", "#c98a12", "#2468a8"
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    RULE: "--rule",
    MODEL: "--model",
    BASELINE: "--baseline",
    CEILING: "--ceiling",
    SECOND: "--second",
}
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "font.size": 9,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": MUTED,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}


def style(plot: str) -> dict[Any, Any]:
    """The style, with element ids that differ from other plots' and not from run to run."""
    return {**_STYLE, "svg.hashsalt": plot}


def scorer_color(name: str, *, config: EvaluationConfig) -> str:
    """The scorer's colour: the model's, the ceiling's, or that of all baselines."""
    return {config.model: MODEL, config.oracle: CEILING}.get(name, BASELINE)


def percent_axis(axis: Axes) -> None:
    """Shares in percent along x, with few round ticks."""
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axis.grid(axis="x")


def svg(figure: Figure, *, label: str) -> str:
    """The figure as an `<svg>` element with the page's colours, as wide as its place allows."""
    buffer = io.StringIO()
    metadata = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    # Sizes come from the style sheet and the font from the page; element ids that nothing refers
    # to would appear once per plot.
    opening, rest = text.split(">", 1)
    view_box = opening[opening.index("viewBox=") :].split('"')[1]
    width = float(view_box.split()[2])
    rest = re.sub(r'font-family: [^;"]*;?|<style.*?</style>', "", rest, flags=re.DOTALL)
    rest = re.sub(r'<g id="[^"]*"', "<g", rest)
    return (
        f'<svg viewBox="{view_box}" role="img" aria-label="{label}" '
        f'style="max-width: {width * 1.65:.0f}px">{rest}'
    )
