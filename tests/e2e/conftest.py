"""The command line in an empty folder, and the `quick` suite run once."""

from __future__ import annotations

import json
import shutil

import commands
import e2e_driver
import pytest


@pytest.fixture
def fedgen(tmp_path):
    """Runs the command line in an empty folder."""
    return lambda *arguments: commands.here(tmp_path, *arguments)


@pytest.fixture(scope="session")
def quick(made_once, tmp_path_factory):
    """The `quick` suite, run once with two workers; a copy for each of pytest's."""

    def make(folder):
        (folder / "root").mkdir()
        done = commands.run(folder / "root", "run", "--suite", "quick", "--jobs", "2", "--device", "cpu")
        assert done.returncode == 0, done.stderr
        (folder / "said.json").write_text(json.dumps([done.stdout, done.stderr]), encoding="utf-8")

    made = made_once("quick", make)
    root = shutil.copytree(made / "root", tmp_path_factory.mktemp("quick"), dirs_exist_ok=True)
    return e2e_driver.Quick(root, *json.loads((made / "said.json").read_text(encoding="utf-8")))
