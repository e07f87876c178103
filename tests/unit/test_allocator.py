"""Freed memory stays with the process that trains; whoever tunes the allocator otherwise is left alone."""

from __future__ import annotations

import os

import pytest

from fedgen_bench.base.allocator import keep_freed_memory


@pytest.fixture(autouse=True)
def asked_anew():
    keep_freed_memory.cache_clear()
    yield
    keep_freed_memory.cache_clear()


@pytest.mark.parametrize("name", ["GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_"])
def test_keep_freed_memory_leaves_an_allocator_alone_that_the_user_tunes(monkeypatch, name):
    monkeypatch.setenv(name, "1")
    assert not keep_freed_memory()


@pytest.mark.parametrize("raised", [ValueError, OSError])
def test_keep_freed_memory_changes_nothing_without_glibc(monkeypatch, raised):
    def confstr(name):
        raise raised(name)

    monkeypatch.setattr(os, "confstr", confstr)
    assert not keep_freed_memory()


def test_keep_freed_memory_is_heard_by_glibc(monkeypatch):
    if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
        pytest.skip("another C library")
    for name in [one for one in os.environ if one.startswith("MALLOC_") or one == "GLIBC_TUNABLES"]:
        monkeypatch.delenv(name)
    assert keep_freed_memory()
