"""What measuring a ranking gives, as values, and their JSON both ways: `rank.json`, the rank events, `kit rank --json`.

No numpy or scipy behind it, so that whoever shows a figure need not load what computes it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, get_args

from kit.errors import InputError

Metric = Literal["pearson", "kendall", "spearman"]
METRICS: tuple[Metric, ...] = get_args(Metric)
ROUNDING = 1e-9
"""By so much a correlation may leave -1..1."""
TRUTH_HASH = "truth_sha256"
"""In the rank of a run: the file that it was measured against."""
COUNTS = ("resamples", "undefined_resamples", "seeds")


@dataclass(frozen=True, slots=True)
class Interval:
    """A statistic with the ends of its 95 % interval; the interval always holds the value."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """The value, then the interval in brackets, each as `spec` says."""
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies on one side of zero, else 0: nothing is shown."""
        return (self.low > 0) - (self.high < 0)


Figures = Mapping[Metric, Interval]


@dataclass(frozen=True, slots=True)
class Correlations:
    """Pearson r, Kendall tau-b and Spearman rho with the truth."""

    pearson: Interval
    kendall: Interval
    spearman: Interval

    @property
    def figures(self) -> dict[Metric, Interval]:
        return {metric: getattr(self, metric) for metric in METRICS}


@dataclass(frozen=True, slots=True)
class Versus:
    """Correlation of the predictions minus that of an opponent, on the same resamples."""

    pearson_difference: Interval
    kendall_difference: Interval


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well the mean over all seeds would agree with the same mean over as many fresh seeds.

    `split_half` is Pearson's r between the means of two halves of the seeds, averaged over `splits` splits, and
    `reliability` is its Spearman-Brown projection to all seeds (0 where the halves do not agree at all). Not even perfect
    predictions can be expected to reach more than `ceiling`, its root, in Pearson's r.
    """

    split_half: float
    splits: int
    reliability: float
    ceiling: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RankReport:
    """What `kit rank` reports. `opponents` maps a name to None where the opponent is constant and ranks nothing.

    `ties` counts architectures that share their value with another one. `undefined_resamples` counts resamples in which
    some correlation does not exist, because only equal values were drawn.
    """

    n: int
    predictions: Correlations
    ties: dict[str, int] = field(default_factory=dict)
    opponents: dict[str, Correlations | None] = field(default_factory=dict)
    versus_macs: Versus | None = None
    resamples: int = 0
    undefined_resamples: int = 0
    seeds: int = 1
    accuracy_reliability: Reliability | None = None
    loss_reliability: Reliability | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `kit rank --json`; the reliability keys are absent where the truth holds a single seed."""
        document: dict[str, Any] = {"n": self.n, **asdict(self.predictions), "ties": dict(self.ties)}
        document["baselines"] = {name: result and asdict(result) for name, result in self.opponents.items()}
        if self.versus_macs:
            document["versus_macs"] = asdict(self.versus_macs)
        document |= {"resamples": self.resamples, "undefined_resamples": self.undefined_resamples, "seeds": self.seeds}
        if self.accuracy_reliability:
            document |= {"reliability": self.accuracy_reliability.reliability, "ceiling": self.accuracy_reliability.ceiling}
        details = {"accuracies": self.accuracy_reliability, "losses": self.loss_reliability}
        document["split_half"] = {of: asdict(result) for of, result in details.items() if result}
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The report that `to_json` told of, by whichever version; what it does not tell is left at its default.

        Raises `InputError` where a key has no such value, or `n` or a figure of the predictions is missing.
        """
        try:
            baselines = document.get("baselines", {}).items()
            versus = document.get("versus_macs")
            reliability = {of: Reliability(**each) for of, each in document.get("split_half", {}).items()}
            counts = {name: _count(document[name]) for name in COUNTS if name in document}
            return cls(
                n=_count(document["n"]),
                predictions=_correlations(document),
                ties=dict(document.get("ties", {})),
                opponents={name: None if each is None else _correlations(each) for name, each in baselines},
                versus_macs=versus and Versus(**{name: _interval(each, limit=2.0) for name, each in versus.items()}),
                accuracy_reliability=reliability.get("accuracies"),
                loss_reliability=reliability.get("losses"),
                **counts,
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"this is no rank report: {error!r}"[:200]) from error


def read_figures(document: Any, *keys: str) -> dict[Metric, Interval]:
    """The figures that a document holds, or what lies in it under `keys`; those that are absent or damaged are left out."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    figures: dict[Metric, Interval] = {}
    for metric in METRICS if isinstance(document, Mapping) else ():
        try:
            figures[metric] = _interval(document[metric])
        except (LookupError, TypeError, ValueError):
            continue
    return figures


def _correlations(document: Mapping[str, Any]) -> Correlations:
    return Correlations(*(_interval(document[metric]) for metric in METRICS))


def _interval(document: Mapping[str, Any], limit: float = 1.0) -> Interval:
    ends = [document[name] for name in ("value", "low", "high")]
    if not all(type(end) in (int, float) and abs(end) <= limit + ROUNDING for end in ends):
        raise ValueError(f"{ends} are not within {limit} of zero")
    return Interval(*map(float, ends))


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
