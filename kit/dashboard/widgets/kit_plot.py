"""textual-plot's widget with the dashboard's keys. Apart: numpy comes with it, and the first paint need not wait."""

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual_plot import HiResMode, NumericAxisFormatter, PlotWidget
from textual_plot.plot_widget import LegendLocation

from kit.dashboard.bindings import bindings

__all__ = ["HiResMode", "KitPlot", "LegendLocation", "LogFormatter", "NumericAxisFormatter"]


class LogFormatter(NumericAxisFormatter):
    """Labels of an axis on which logarithms are drawn."""

    def get_labels_for_ticks(self, ticks: Sequence[float]) -> list[str]:
        return [f"{10**tick:.3g}" for tick in ticks]


class KitPlot(PlotWidget, inherit_bindings=False):
    """Zooms and moves by the keys of the table."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("plot")]

    @property
    def window(self) -> tuple[float, float] | None:
        """The part of the x axis that was zoomed into; None when everything is shown."""
        return None if self._auto_x_min else (self._x_min, self._x_max)
