"""Tests of pages that are made by current libraries: older ones say the same in other words."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from packaging.version import Version


def written_with(library: str, since: str) -> pytest.MarkDecorator:
    """Skip where the library is older than what the page was written with."""
    older = Version(version(library)) < Version(since)
    return pytest.mark.skipif(older, reason=f"the page has the words of {library} {since} and later")
