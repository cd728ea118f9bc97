"""What all tests share: the project's folder, and property tests that draw the same examples on every machine."""

import pickle
import signal
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

import pytest
from hypothesis import settings

# A deadline would measure the machine, and `make test` on a fresh clone must not depend on luck.
settings.register_profile("kit", deadline=None, derandomize=True)
settings.load_profile("kit")


# Workers take whole files, so the longest come first, and the last ones to end are short.
LONGEST = (
    "test_submission_tampering",
    "test_processes",
    "test_faults",
    "test_dashboard_app",
    "test_submission_build",
    "test_terminal_gone",
    "test_truth_run",
    "test_dashboard_processes",
    "test_dashboard_submission",
    "test_run_recipe",
    "test_sweep",
    "test_ladder",
    "test_submission_archive",
    "test_tutorial",
    "test_run_alone",
    "test_rival_recipes",
    "test_submission_size",
    "test_cli_benchmark",
    "test_device",
    "test_search",
    "test_foreign_method",
    "test_dashboard_recipes",
    "test_dashboard_rank",
    "test_dashboard_architectures",
    "test_dashboard_screens",
    "test_latency_command",
)


def pytest_configure() -> None:
    """Hear what a background shell or `nohup` chose to ignore: children inherit that, and tests send them these signals."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, lambda *_: None)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)  # an exec turns a handler into the default, but keeps what is ignored


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(PurePath(item.path).stem, len(places)))


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The folder that holds `kit/`, `recipes/` and `pyproject.toml`."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def public_pool_path(checkout: Path) -> Path:
    """The organisers' 45,000 codes, which are not part of the project: a test that needs them is skipped without them."""
    path = checkout.parent / "shared" / "data" / "CVPR_2022_NAS_Track1_test.json.gz"
    if not path.exists():
        pytest.skip(f"the public pool is not at {path}")
    return path


@pytest.fixture(scope="session", autouse=True)
def remembered() -> Iterator[None]:
    """Hundreds of archives here have the same predictions and pictures: what is computed of them is computed once.

    Both are functions of what they are given, and are tested where they are made.
    """
    from kit.ranking import joining
    from kit.submission.checks import origin

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joining, "rank_correlation", _remembered(joining.rank_correlation))
        patch.setattr(origin, "draw", _remembered(origin.draw))
        yield


def _remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[bytes, Any] = {}

    def ask(*arguments: Any, **named: Any) -> Any:
        key = pickle.dumps((arguments, named))
        if key not in known:
            known[key] = function(*arguments, **named)
        return known[key]

    return ask
