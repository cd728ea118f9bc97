"""What accuracies depend on besides the architecture: figures may be compared only where all of it agrees."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kit.errors import InputError
from kit.recipe import Profile

SPACE_KEYS = ("base_channels", "ratios", "divisor", "stem")
"""Of a search space: what its digits mean in channels."""
SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class MadeWith:
    """The meaning of the digits, the resolution, the number of classes, and the content of the data set (`Data.source`).

    How many of its images were used does not count: a truth of all images judges a supernet trained on a part of them.
    """

    search_space: Mapping[str, Any]
    resolution: int
    classes: int | None
    source: str | None
    fingerprint: str | None = None
    """`Data.fingerprint`: all that runs of older kits say, whose classes and source are None."""

    @classmethod
    def of(cls, profile: Profile, *, classes: int | None, source: str | None, fingerprint: str | None = None) -> "MadeWith":
        """What a profile makes on these data."""
        space = profile.search_space.to_json()
        return cls(
            search_space={key: space[key] for key in SPACE_KEYS},
            resolution=profile.resolution,
            classes=classes,
            source=source,
            fingerprint=fingerprint,
        )

    @classmethod
    def of_run(cls, profile: Profile, resolved: Mapping[str, Any]) -> "MadeWith":
        """The same, as a run's `resolved.json` tells it."""
        classes, source, fingerprint = (resolved.get(key) for key in ("classes", "data_source", "data_fingerprint"))
        return cls.of(
            profile,
            classes=classes if type(classes) is int else None,
            source=source if isinstance(source, str) else None,
            fingerprint=fingerprint if isinstance(fingerprint, str) else None,
        )

    @classmethod
    def from_json(cls, value: Any, where: str) -> "MadeWith":
        """What `to_json` wrote. Raises `InputError`, which says `where` it stands."""
        kinds = {"search_space": dict, "resolution": int, "classes": int, "source": str}
        for key, kind in kinds.items():
            if not isinstance(value, dict) or type(value.get(key)) is not kind:
                raise InputError(f"{where}: 'made_with' needs {key!r}, of type {kind.__name__}")
        return cls(**{key: value[key] for key in kinds})

    def to_json(self) -> dict[str, Any]:
        """As a truth file holds it."""
        return {
            "search_space": dict(self.search_space),
            "resolution": self.resolution,
            "classes": self.classes,
            "source": self.source,
        }

    def named_by(self, fingerprint: object, source: str | None, classes: int | None) -> "MadeWith":
        """With source and classes filled in, if these are of the images that an older kit knew by this fingerprint."""
        known = self.source is None and self.fingerprint is not None and self.fingerprint == fingerprint
        return replace(self, source=source, classes=classes) if known else self

    def differences(self, here: "MadeWith") -> Iterator[str]:
        """What is other than `here`, each in words that go on from "made with"."""
        for key in sorted(self.search_space.keys() | here.search_space.keys()):
            own, other = self.search_space.get(key), here.search_space.get(key)
            if own != other:
                yield f"{key} {own} (here {other})"
        if self.resolution != here.resolution:
            yield f"resolution {self.resolution} (here {here.resolution})"
        if self.classes != here.classes and here.classes is not None:
            yield f"{self.classes} classes (here {here.classes})"
        if here.source is None:
            yield "data of which this run, of an older kit, does not say whether it used them"
        elif self.source != here.source:
            yield f"other data (source {str(self.source)[:SHOWN]}, here {here.source[:SHOWN]})"
