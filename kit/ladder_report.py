"""What a ladder measured, as values and as JSON: many recipes, several supernet seeds each, on one truth."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from kit.rank_report import MACS, Correlations, Interval, Partial, SingleTraining, Versus


@dataclass(frozen=True, slots=True)
class MeanTop:
    """What choosing the `k` predicted best gives, each figure the mean over supernet seeds; see `rank_report.Top`."""

    k: float
    precision: Interval
    best_rank: float
    worst_rank: float
    regret: float
    kendall: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class RowRank:
    """How a recipe ranks: means over its supernet seeds; intervals resample architectures and supernet seeds together."""

    predictions: Correlations
    top: tuple[MeanTop, ...]
    versus: Mapping[str, Versus]
    """By the name of an opponent."""
    versus_previous: Versus | None
    partial: Partial | None
    """Given what counting knows."""
    partial_all: Partial | None
    """Given all opponents; None where these are no more than that."""

    @property
    def versus_macs(self) -> Versus | None:
        """The comparison with counting multiply-adds."""
        return self.versus.get(MACS)


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderRow:
    """A recipe of a ladder. `passes` and `images` (passes times batch) are those of one supernet.

    `seconds` are what its runs took, on average: phases that another row trained first are counted there.
    """

    recipe: str
    seeds: int
    rank: RowRank | None
    passes: float | None = None
    images: float | None = None
    seconds: float | None = None
    paper: float | None = None
    """Pearson's r of the paper, on its own truth."""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """An entry of `kit run ladder --json`."""
        rank = self.rank
        measured: dict[str, Any] = dict.fromkeys(("pearson", "kendall", "spearman"), None) | {"top": []}
        if rank is not None:
            measured = {**asdict(rank.predictions), "top": [asdict(top) for top in rank.top]}
            measured["versus"] = {name: asdict(each) for name, each in rank.versus.items()}
            for name in ("versus_macs", "versus_previous", "partial", "partial_all"):
                if (value := getattr(rank, name)) is not None:
                    measured[name] = asdict(value)
        head = {"recipe": self.recipe, "seeds": self.seeds}
        spent = {name: getattr(self, name) for name in ("passes", "images", "seconds", "paper", "error")}
        return head | measured | spent


@dataclass(frozen=True, kw_only=True, slots=True)
class LadderReport:
    """A whole ladder: its rows in the order that was asked for, and what they are measured against."""

    profile: str
    truth: str
    chosen: str
    n: int
    reliability: float | None
    reliability_interval: Interval | None
    ceiling: float | None
    single_training: SingleTraining | None
    opponents: Mapping[str, Correlations]
    rows: tuple[LadderRow, ...]
    inputs: str = ""
    """Names what was measured, so that it need not be measured again."""

    def to_json(self) -> dict[str, Any]:
        """The document of `kit run ladder --json`."""
        head = {name: getattr(self, name) for name in ("profile", "truth", "chosen", "n", "reliability", "ceiling")}
        head |= {
            name: (value := getattr(self, name)) and asdict(value) for name in ("reliability_interval", "single_training")
        }
        opponents = {name: asdict(each) for name, each in self.opponents.items()}
        return head | {"opponents": opponents, "rows": [row.to_json() for row in self.rows]}
