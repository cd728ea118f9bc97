"""What screen 3 draws: architectures as points, and the figure over the moments of the scoring."""

import numpy as np
from numpy.typing import NDArray

from kit.dashboard.widgets.plot import Line, Points
from kit.dashboard.widgets.rank_panel import cell_style
from kit.rank_report import Metric
from kit.watch.rank_data import Comparison, Moment, trend
from kit.watch.series import Curve

MOST = 1500
"""Points that are drawn; of more, every second, third, ... along the axis of the truth."""

Drawn = list[Line | Points]


def scatter(comparison: Comparison, members: NDArray[np.int64], current: int | None, *, by_cell: bool) -> Drawn:
    """Predicted over true accuracy of some rows with their trend; `current` stands out."""
    rows = comparison.rows
    true, predicted = rows.numbers("true"), rows.numbers("acc")
    drawn: Drawn = []
    line = trend(true[members], predicted[members])
    if line is not None:
        drawn.append(Line("", Curve(*line), "panel-lighten-3"))
    sorted_rows = members[np.argsort(true[members], kind="stable")]
    shown = sorted_rows[:: max(1, -(-len(members) // MOST))]
    cells = rows.numbers("cell")[shown]
    if by_cell:
        for cell in np.unique(cells[np.isfinite(cells)]).astype(int).tolist():
            chosen = shown[cells == cell]
            drawn.append(Points(f"cell {cell}", _curve(true[chosen], predicted[chosen]), *cell_style(cell)))
    else:
        drawn.append(Points("", _curve(true[shown], predicted[shown]), "primary"))
    if current is not None:
        drawn.append(Points("", _curve(true[[current]], predicted[[current]]), "warning", "◉"))
    return drawn


def history(comparison: Comparison, metric: Metric, shown: Moment) -> Drawn:
    """The figure with its interval at every moment; the one that is shown stands out."""
    known = [moment for moment in comparison.moments if metric in moment.figures]
    if len(known) < 2:
        return []
    figures = [moment.figures[metric] for moment in known]
    x = tuple(float(moment.n) for moment in known)
    drawn: Drawn = [
        Line("", Curve(x, tuple(figure.low for figure in figures)), "panel-lighten-3"),
        Line("", Curve(x, tuple(figure.high for figure in figures)), "panel-lighten-3"),
        Line("", Curve(x, tuple(figure.value for figure in figures)), "success"),
    ]
    if shown in known:
        drawn.append(Points("", Curve((float(shown.n),), (shown.figures[metric].value,)), "warning", "◉"))
    return drawn


def _curve(x: NDArray[np.float64], y: NDArray[np.float64]) -> Curve:
    return Curve(tuple(x.tolist()), tuple(y.tolist()))
