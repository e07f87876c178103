"""`new-plugin`, from the command to a row: a package of every kind installs, passes its tests and ranks unedited."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import SCRIPT, environ, here

from fedgen_bench.base.errors import UsageError
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.scaffold import module_name
from fedgen_bench.testing import toy

KINDS = ("strategy", "adapter", "partitioner", "metric", "compressor")
TOY = ("--suite", "toy", "--plugin", toy.__file__)
CELL = ("--device", "cpu", "--jobs", "1")


class Site:
    """A folder that packages are installed into, and commands that see it beside everything else."""

    def __init__(self, root):
        self.root, self.target = root, root / "site"

    def call(self, *words):
        path = os.pathsep.join(filter(None, (str(self.target), os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            words, cwd=self.root, capture_output=True, text=True, check=False, env=environ() | {"PYTHONPATH": path}
        )

    def fedgen(self, *arguments):
        return here(self.root, *arguments)

    def rows(self, *arguments):
        """Rank and status by contender."""
        done = self.fedgen("run", *arguments, *CELL)
        assert done.returncode == 0, done.stderr
        lines = re.findall(r"^(\d+|-) +(\S.*?)  .* (\S+)$", done.stdout, flags=re.MULTILINE)
        return {name: (rank, status) for rank, name, status in lines}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One new package of every kind, named `my-<kind>`, rendered and installed without a network."""
    site = Site(tmp_path_factory.mktemp("plugins"))
    for kind in KINDS:
        done = site.fedgen("new-plugin", f"my-{kind}", "--kind", kind)
        assert done.returncode == 0, done.stderr
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation")
    packages = [str(site.root / f"my-{kind}") for kind in KINDS]
    done = site.call(*pip, "--no-warn-conflicts", "--target", str(site.target), *packages)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(site.target)
        yield site
    for kind in KINDS:
        sys.modules.pop(f"my_{kind}", None)


def test_new_plugins_own_tests_pass(site):
    done = site.call(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"my-{kind}" for kind in KINDS))
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d\d+ passed", done.stdout, flags=re.MULTILINE), done.stdout


def test_new_plugins_are_listed_with_their_distribution(site):
    listed = json.loads(site.call(SCRIPT, "list", "--json").stdout)
    assert listed["failures"] == []
    own = {one["kind"]: one for one in listed["components"] if one["distribution"].startswith("my-")}
    assert {(kind, one["name"], one["distribution"]) for kind, one in own.items()} == {
        (kind, f"my-{kind}", f"my-{kind}") for kind in KINDS
    }


def test_new_strategy_adapter_and_compressor_rank_in_the_toy_suite(site):
    added = [word for kind in ("strategy", "adapter", "compressor") for word in ("--with", f"my-{kind}")]
    rows = site.rows(*TOY, *added)
    ranked = {"fedgen_edge", "fedavg", "my-strategy", "my-adapter", "my-compressor"}
    assert {rows[name][0] for name in ranked} <= {str(place) for place in range(1, 6)}
    assert {rows[name][1] for name in ranked} == {"done"}


def test_new_partitioner_is_shown_in_the_toy_suite(site):
    rows = site.rows(*TOY, "--contender", "fedavg", "--seed", "1", *readme_options(site, "partitioner"))
    assert ("-", "off-suite") in rows.values()


def readme_options(site, kind):
    text = (site.root / f"my-{kind}" / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^fedgen-bench run --suite quick (.*)$", text, flags=re.MULTILINE)
    return shlex.split(line[1])


def test_new_strategy_ranks_in_the_quick_suite_with_the_readmes_command(site):
    options = readme_options(site, "strategy")
    assert options == ["--with", "my-strategy"]
    rows = site.rows("--suite", "quick", *options, "--contender", "my-strategy")
    assert rows["my-strategy"] == ("1", "done")


def test_new_metric_is_measured_in_the_quick_suite_with_the_readmes_command(site):
    cell = ("--contender", "frozen", "--seed", "1")
    site.rows("--suite", "quick", *cell, *readme_options(site, "metric"))
    results = json.loads((site.root / "leaderboards" / "quick" / "results.json").read_text(encoding="utf-8"))
    (found,) = [one["metrics"] for one in results["records"] if one["contender"] == "frozen"]
    # 2 ** bits a word is the perplexity a word.
    assert 2 ** found["test/my-metric"] == pytest.approx(found["test/perplexity_per_word"])


def test_check_of_a_new_distribution_passes(site):
    done = site.fedgen("check", "my-partitioner")
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("partitioner/my-partitioner\n")
    assert done.stdout.endswith("7 checks: 7 passed, 0 failed\n")


def test_new_plugin_overwrites_nothing(site):
    module = site.root / "my-metric" / "my_metric.py"
    before = module.read_bytes()
    done = site.fedgen("new-plugin", "another", "--kind", "metric", "--folder", "my-metric")
    assert done.returncode == 2
    assert "is there already and nothing is overwritten" in done.stderr
    assert module.read_bytes() == before
    assert not Path(site.root, "another").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My_Method", "is no component name"),
        ("../out", "is no component name"),
        ("3d", "gives no module name (`3d`)"),
        ("class", "gives no module name (`class`)"),
        ("fedavg", "strategy `fedavg` is there already, from fedgen-bench"),
        ("torch", "A module `torch` is there already"),
        ("json", "A module `json` is there already"),
    ],
)
def test_new_plugin_refuses_a_name_that_cannot_work(name, message):
    with pytest.raises(UsageError) as caught:
        module_name(name, "strategy", load_registry(environ={}))
    assert message in str(caught.value)
