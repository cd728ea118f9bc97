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
NO_RANK = "no rank: "
"""How the note in a run's log begins that says why it was not ranked."""
MACS = "macs"
COUNTED = (MACS, "params", "depth")
"""The opponents that `baselines` holds; `opponents` holds all that were named."""
PAIR = ("pearson", "kendall")
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


@dataclass(frozen=True, slots=True)
class SingleTraining:
    """One seed of a truth against the mean of the others, averaged over the seeds: what one training of each would score."""

    pearson: float
    kendall: float


@dataclass(frozen=True, slots=True)
class Top:
    """What choosing the `k` architectures that are predicted best would give; ties at the border are all in.

    A true rank is 1 + the number of strictly better ones. `precision` is the share of the chosen whose true rank is at most
    `k`; `best_rank` and `worst_rank` are true ranks among the chosen; `regret` is the best true accuracy minus the best
    among them, in the truth's unit; `kendall` is tau among them alone, None where it does not exist.
    """

    k: int
    precision: Interval
    best_rank: int
    worst_rank: int
    regret: float
    kendall: float | None


@dataclass(frozen=True, slots=True)
class Partial:
    """Correlation of predictions and truth once the quantities `given` are regressed out of both."""

    given: tuple[str, ...]
    pearson: Interval
    kendall: Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class RankReport:
    """What `kit rank` reports. `opponents` maps a name to None where the opponent is constant and ranks nothing.

    `ties` counts architectures that share their value with another one. `undefined_resamples` counts resamples in which
    some correlation does not exist, because only equal values were drawn. `weighted_tau` is scipy's. `chosen` says how the
    truth's architectures were chosen, where that is known.
    """

    n: int
    predictions: Correlations
    ties: dict[str, int] = field(default_factory=dict)
    opponents: dict[str, Correlations | None] = field(default_factory=dict)
    versus: dict[str, Versus] = field(default_factory=dict)
    resamples: int = 0
    undefined_resamples: int = 0
    seeds: int = 1
    accuracy_reliability: Reliability | None = None
    loss_reliability: Reliability | None = None
    reliability_interval: Interval | None = None
    single_training: SingleTraining | None = None
    weighted_tau: float | None = None
    top: tuple[Top, ...] = ()
    partial: Partial | None = None
    chosen: str = ""

    @property
    def versus_macs(self) -> Versus | None:
        """The comparison with counting multiply-adds, the strongest opponent that costs nothing."""
        return self.versus.get(MACS)

    def to_json(self) -> dict[str, Any]:
        """The document of `kit rank --json`; the reliability keys are absent where the truth holds a single seed."""
        document: dict[str, Any] = {"n": self.n, **asdict(self.predictions), "ties": dict(self.ties)}
        document["opponents"] = {name: result and asdict(result) for name, result in self.opponents.items()}
        document["baselines"] = {name: each for name, each in document["opponents"].items() if name in COUNTED}
        document["versus"] = {name: asdict(each) for name, each in self.versus.items()}
        if self.versus_macs:
            document["versus_macs"] = document["versus"][MACS]
        document |= {"resamples": self.resamples, "undefined_resamples": self.undefined_resamples, "seeds": self.seeds}
        if self.accuracy_reliability:
            document |= {"reliability": self.accuracy_reliability.reliability, "ceiling": self.accuracy_reliability.ceiling}
        details = {"accuracies": self.accuracy_reliability, "losses": self.loss_reliability}
        document["split_half"] = {of: asdict(result) for of, result in details.items() if result}
        for name in ("reliability_interval", "single_training", "partial"):
            if value := getattr(self, name):
                document[name] = asdict(value)
        if self.partial:
            document["partial"]["given"] = list(self.partial.given)
        if self.weighted_tau is not None:
            document["weighted_tau"] = self.weighted_tau
        if self.chosen:
            document["chosen"] = self.chosen
        return document | ({"top": [asdict(each) for each in self.top]} if self.top else {})

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """The report that `to_json` told of, by whichever version; what it does not tell is left at its default.

        Raises `InputError` where a key has no such value, or `n` or a figure of the predictions is missing.
        """
        try:
            opponents = document.get("opponents", document.get("baselines", {})).items()
            macs = document.get("versus_macs")
            versus = document.get("versus", {MACS: macs} if macs else {}).items()
            reliability = {of: Reliability(**each) for of, each in document.get("split_half", {}).items()}
            rest: dict[str, Any] = {name: _count(document[name]) for name in COUNTS if name in document}
            return cls(
                n=_count(document["n"]),
                predictions=_correlations(document),
                ties=dict(document.get("ties", {})),
                opponents={name: None if each is None else _correlations(each) for name, each in opponents},
                versus={name: Versus(**{key: _interval(each[key], limit=2.0) for key in each}) for name, each in versus},
                chosen=str(document.get("chosen", "")),
                accuracy_reliability=reliability.get("accuracies"),
                loss_reliability=reliability.get("losses"),
                **rest,
                **_details(document),
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise InputError(f"this is no rank report: {error!r}"[:200]) from error


def _details(document: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "reliability_interval" in document:
        found["reliability_interval"] = _interval(document["reliability_interval"])
    if "single_training" in document:
        found["single_training"] = SingleTraining(**{key: float(document["single_training"][key]) for key in PAIR})
    if "weighted_tau" in document:
        found["weighted_tau"] = float(document["weighted_tau"])
    if "partial" in document:
        given = tuple(map(str, document["partial"]["given"]))
        found["partial"] = Partial(given, *(_interval(document["partial"][key]) for key in PAIR))
    tops = document.get("top", [])
    return found | {"top": tuple(Top(**{**each, "precision": _interval(each["precision"])}) for each in tops)}


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
