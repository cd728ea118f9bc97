"""textual-plot's widget with the dashboard's keys. Apart: numpy comes with it, and the first paint need not wait."""

from collections.abc import Sequence

from textual.reactive import var
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

    BINDINGS = bindings("plot")

    window: var[tuple[float, float] | None] = var(None)
    """The part of the x axis that was zoomed into; None when everything is shown."""

    def on_plot_widget_scale_changed(self, message: PlotWidget.ScaleChanged) -> None:
        """Zoomed or moved."""
        message.stop()
        self.window = (message.x_min, message.x_max)

    def action_reset_scales(self) -> None:
        """Show everything."""
        self.set_xlimits()
        self.set_ylimits()
        self.window = None
