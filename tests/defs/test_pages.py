"""Plots on the pages of assets."""

import base64

import matplotlib.figure
import pytest

from convcg_assets.defs.metadata import plot_bars


@pytest.mark.parametrize("values", [(0, 0, 0), (0.0,), (3, 0, 1)])
def test_counts_have_no_negative_axis(
    values: tuple[float, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    save = matplotlib.figure.Figure.savefig

    def spy(figure, *arguments, **options) -> None:
        save(figure, *arguments, **options)
        seen.extend(axes.get_ylim() for axes in figure.axes)

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", spy)
    shown = plot_bars(dict(enumerate(values)), ylabel="rows")
    picture = str(shown.value).split("base64,")[1].removesuffix(")")
    assert base64.b64decode(picture).startswith(b"\x89PNG")
    [(low, high)] = seen
    assert (low, high > 0) == (0, True)
