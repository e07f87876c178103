"""The command line in an empty folder, and the `quick` suite run once."""

from __future__ import annotations

import e2e_driver
import pytest


@pytest.fixture
def fedgen(tmp_path):
    """Runs the command line in an empty folder."""
    return lambda *arguments: e2e_driver.run(tmp_path, *arguments)


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """The `quick` suite, run once with two workers."""
    root = tmp_path_factory.mktemp("quick")
    done = e2e_driver.run(root, "run", "--suite", "quick", "--jobs", "2", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    return e2e_driver.Quick(root, done)
