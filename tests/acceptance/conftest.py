"""What tests of the stack as users run it share."""

from pathlib import Path

import pytest

from tests.harness.process import free_port
from tests.harness.services import enterable


@pytest.fixture
def port() -> int:
    """The port of this test's service."""
    return free_port()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder that the servers may enter."""
    return enterable(tmp_path) / "data"
