"""Tests of pages that are made by current libraries: older ones say the same in other words."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.version import Version


def written_with(library: str, since: str) -> pytest.MarkDecorator:
    """Skip where the library is older than what the page was written with."""
    try:
        older = Version(version(library)) < Version(since)
    except PackageNotFoundError:
        older = False  # the test says what it lacks
    return pytest.mark.skipif(older, reason=f"the page has the words of {library} {since} and later")
