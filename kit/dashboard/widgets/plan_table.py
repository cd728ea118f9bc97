"""The plan of a run, as `kit run recipe --dry-run --json` tells it, in rows and one sentence."""

from collections.abc import Mapping
from typing import Any

from kit.dashboard.widgets.table import Cell, Column
from kit.plan import RunCost
from kit.watch.text import count, duration, number, short_number, size

PLAN_COLUMNS = (
    Column("phase", 10),
    Column("method", 12),
    Column("epochs", 6, right=True),
    Column("steps", 8, right=True),
    Column("paths", 5, right=True),
    Column("passes", 10, right=True),
    Column("multiply-adds", 13, right=True),
    Column("time", 13, right=True),
)


def plan_rows(document: Mapping[str, Any]) -> list[list[Cell]]:
    """A row per phase, and one for scoring the pool."""
    plan = RunCost.from_json(document)
    rows: list[list[Cell]] = [
        [
            (phase.name, "strong"),
            phase.method,
            count(phase.epochs),
            count(phase.steps),
            f"{phase.paths_per_step:g}",
            count(phase.passes),
            short_number(phase.macs),
            duration(phase.seconds),
        ]
        for phase in plan.phases
    ]
    costs = [short_number(plan.evaluation_macs), duration(plan.evaluation_seconds)]
    return [*rows, [("scoring", "strong"), f"{count(plan.subnets)} subnets", *[""] * 4, *costs]]


def plan_summary(document: Mapping[str, Any]) -> str:
    """What the whole run costs."""
    plan = RunCost.from_json(document)
    return (
        f"{plan.run}: about {duration(plan.seconds)} on {plan.device}, {count(plan.totals['passes'])} passes, "
        f"up to {size(plan.disk_bytes)} of disk (scaled from one pass of the full network, "
        f"{number(plan.measured['step_seconds'], 2)} s)"
    )
