"""What all tests share: the project's folder, and property tests that draw the same examples on every machine."""

import signal
from pathlib import Path, PurePath

import pytest
from hypothesis import settings

# A deadline would measure the machine, and `make test` on a fresh clone must not depend on luck.
settings.register_profile("kit", deadline=None, derandomize=True)
settings.load_profile("kit")


# Two workers take whole files, so the longest come first, and the last ones to end are short.
LONGEST = (
    "test_dashboard_app",
    "test_processes",
    "test_submission_build",
    "test_terminal_gone",
    "test_dashboard_screens",
    "test_dashboard_submission",
    "test_dashboard_processes",
    "test_run_recipe",
    "test_dashboard_rank",
    "test_dashboard_architectures",
    "test_dashboard_recipes",
    "test_truth_run",
    "test_sweep",
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
