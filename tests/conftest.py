"""What all tests share: the project's folder, and property tests that draw the same examples on every machine."""

from pathlib import Path

import pytest
from hypothesis import settings

# A deadline would measure the machine, and `make test` on a fresh clone must not depend on luck.
settings.register_profile("kit", deadline=None, derandomize=True)
settings.load_profile("kit")


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
