"""The plan of a run, as `kit run recipe --dry-run --json` tells it, in rows and one sentence."""

from typing import Any

from kit.dashboard.widgets.table import Cell, Column
from kit.watch.event_text import report_value
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


def plan_rows(plan: dict[str, Any]) -> list[list[Cell]]:
    """A row per phase, and one for scoring the pool."""
    rows: list[list[Cell]] = []
    for phase in plan.get("phases", ()):
        sizes = [count(_integer(phase.get(key))) for key in ("epochs", "steps", "paths_per_step", "passes")]
        rows.append(
            [
                (str(phase.get("name", "")), "strong"),
                str(phase.get("method", "")),
                *sizes,
                short_number(report_value(phase, "macs")),
                duration(report_value(phase, "seconds")),
            ]
        )
    scored = f"{count(_integer(plan.get('subnets')))} subnets"
    costs = [short_number(report_value(plan, "evaluation_macs")), duration(report_value(plan, "evaluation_seconds"))]
    rows.append([("scoring", "strong"), scored, *[""] * 4, *costs])
    return rows


def plan_summary(plan: dict[str, Any]) -> str:
    """What the whole run costs."""
    step = number(report_value(plan, "measured", "step_seconds"), 2)
    passes = count(_integer(plan.get("totals", {}).get("passes")))
    return (
        f"{plan.get('run')}: about {duration(report_value(plan, 'seconds'))} on {plan.get('device')}, "
        f"{passes} passes, up to {size(report_value(plan, 'disk_bytes'))} of disk "
        f"(scaled from one pass of the full network, {step} s)"
    )


def _integer(value: object) -> int | None:
    return value if isinstance(value, int) else None
