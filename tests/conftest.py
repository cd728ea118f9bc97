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
