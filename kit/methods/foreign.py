"""Methods from outside the package: modules that are found by name, imported where they train, and checked at every step.

Such a module has a `Settings` (a `Phase`), a `Sampler` and, if paths alone cannot say what it trains, an `Objective`.
A recipe names it as `module = "my_method"` beside `method`, or it registers under the entry-point group `kit.methods`.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ConfigDict

from kit.errors import InputError, KitError
from kit.files import sha256_of_file
from kit.methods.phase import Phase
from kit.methods.sampling import Path as TrainedPath
from kit.methods.sampling import Replacement, Sampler, Scope

GROUP = "kit.methods"
T = TypeVar("T")


class ForeignPhase(Phase):
    """A phase of a foreign method, as who must not import it reads it: what all phases have, and the rest as it stands."""

    model_config = ConfigDict(extra="allow")

    @property
    def paths_per_step(self) -> float:
        """Nobody knows without the method; 1 stands for it."""
        return 1


def registered(method: str) -> str | None:
    """The module that an installed package names for a method; nothing is imported."""
    found = {entry.value for entry in entry_points(group=GROUP, name=method)}
    if len(found) > 1:
        raise InputError(f"method {method!r} is registered more than once: {', '.join(sorted(found))}")
    return next(iter(found), None)


@lru_cache
def source_file(module: str) -> Path:
    """The file of a module. Raises `InputError` where there is none."""
    try:
        spec = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        spec = None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        raise InputError(f"there is no module {module!r}", hint="put the folder that holds it on PYTHONPATH, or install it")
    return Path(spec.origin)


def source_sha256(module: str) -> str:
    """The hash of a module's source; a phase's key holds it."""
    return sha256_of_file(source_file(module))


def load_settings(module: str) -> type[Phase]:
    """The model of a foreign method's settings."""
    return _class(module, "Settings", Phase)  # type: ignore[type-abstract]


def make_foreign_sampler(phase: Phase, scope: Scope) -> "CheckedSampler":
    """A foreign method's sampler, whose answers are checked."""
    assert phase.module is not None
    kind = _class(phase.module, "Sampler", Sampler)
    return CheckedSampler(phase, scope, _asked(phase.module, "Sampler(settings, scope)", lambda: kind(phase, scope)))


def has_objective(module: str) -> bool:
    """Whether a foreign method brings an `Objective`."""
    return hasattr(_imported(module), "Objective")


class CheckedSampler(Sampler[Phase]):
    """Asks a foreign sampler twice, and believes only what training can use."""

    def __init__(self, settings: Phase, scope: Scope, inner: Sampler[Any]) -> None:
        super().__init__(settings, scope)
        assert settings.module is not None
        self._module = settings.module
        self._inner = inner

    @property
    def steps(self) -> int:
        return self._inner.steps

    def paths(self, step: int) -> list[TrainedPath]:
        asked = f"paths({step})"
        paths, again = (_asked(self._module, asked, lambda: list(self._inner.paths(step))) for _ in range(2))
        problem = self._problem(paths)
        if problem is None and paths != again:
            problem = "another answer when asked again: draw from self.random(step, ...)"
        if problem:
            raise InputError(f"{source_file(self._module)}: {asked} returned {problem}")
        return paths

    def learning_rate(self, step: int, first: float) -> float:
        asked = f"learning_rate({step}, {first:g})"
        rate = _asked(self._module, asked, lambda: self._inner.learning_rate(step, first))
        if not _is_number(rate) or rate < 0:
            raise InputError(f"{source_file(self._module)}: {asked} returned {rate!r}, not a rate")
        return float(rate)

    def momentum_group(self, step: int) -> str:
        return str(_asked(self._module, f"momentum_group({step})", lambda: self._inner.momentum_group(step)))

    def finish_step(self, step: int) -> Replacement | None:
        return _asked(self._module, f"finish_step({step})", lambda: self._inner.finish_step(step))

    def state(self) -> dict[str, Any]:
        return _asked(self._module, "state()", self._inner.state)

    def restore(self, state: dict[str, Any]) -> None:
        _asked(self._module, "restore(state)", lambda: self._inner.restore(state))

    def _problem(self, paths: list[Any]) -> str | None:
        """What training cannot use of them."""
        if not paths:
            return "no paths"
        for position, path in enumerate(paths):
            where = f"as path {position}"
            if not isinstance(path, TrainedPath):
                return f"{path!r} {where}, not a Path"
            if path.architecture not in self.scope.space:
                return f"the code {path.architecture} {where}, which is not in the phase's space"
            wishes = (path.weight, path.distillation, path.smoothing)
            if not all(_is_number(wish) and wish >= 0 for wish in wishes):
                return f"the weights {wishes} {where}: they must be finite and not negative"
            if path.source is not None and not 0 <= path.source < len(paths):
                return f"source {path.source} {where}, of {len(paths)} paths"
            if path.distillation and path.source is None and not self.settings.needs_teacher:
                return f"distillation {where}, but the settings' needs_teacher is false"
        if not any(path.trained and path.weight + path.distillation > 0 for path in paths):
            return "nothing to train: every weight is 0"
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _class(module: str, name: str, base: type[T]) -> type[T]:
    kind = getattr(_imported(module), name, None)
    if not (isinstance(kind, type) and issubclass(kind, base)):
        raise InputError(f"{source_file(module)}: it has no {name} that is a {base.__name__} (found {kind!r})")
    return kind


def _imported(module: str) -> Any:
    file = source_file(module)
    try:
        return import_module(module)
    except Exception as error:
        raise InputError(f"{file}: it cannot be imported: {type(error).__name__}: {error}") from error


def _asked(module: str, what: str, ask: Callable[[], T]) -> T:
    """What foreign code answers; its own errors name its file."""
    try:
        return ask()
    except KitError:
        raise
    except Exception as error:
        raise InputError(f"{source_file(module)}: {what} failed: {type(error).__name__}: {error}") from error
