"""`fedgen-bench-core`: what it is made of, and that a review needs no library that it leaves out."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fedgen_bench.base.missing import LEFT_OUT, missing_library
from fedgen_bench.registry import plugins

ROOT = Path(__file__).parents[2]
CORE = ROOT / "core"
WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {
    "dp-accounting": "dp_accounting",
    "pillow": "PIL",
    "scikit-learn": "sklearn",
    "torch-fidelity": "torch_fidelity",
}
REVIEW = {
    "list": "fedgen-bench",
    "show fedgen_edge": "FedGen-Edge",
    "validate ptb-compression": "records, 0 problems",
    "leaderboard --suite ptb-compression --leaderboards . --check": "every file is what",
    "leaderboard --suite ptb-compression --leaderboards . --from-results": "Written again",
    "compare --suite ptb-compression --leaderboards . fedgen_edge fedavg_full": "test/perplexity_per_word",
    "claims --suite ptb-compression --leaderboards .": "Not drawn: claims/",
    "show-table ptb-compression": "fedgen_edge",
    "site --leaderboards . --out site": "Written: site",
}
HEAVY = ("run --suite quick", "env", "check fedavg", "profile --suite quick", "export quick fedgen_edge --out x")
CHILD = """
import importlib.abc, json, sys
from pathlib import Path

left_out, commands = map(json.loads, sys.argv[1:])

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in left_out:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
from commands import here

done = {words: here(Path.cwd(), *words.split()) for words in commands}
print(json.dumps({words: [one.returncode, one.stdout + one.stderr] for words, one in done.items()}))
"""


def names(requirements):
    return [re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in requirements]


@pytest.fixture(scope="module")
def metadata():
    pytest.importorskip("hatchling", reason="needs hatchling, which builds it")
    spec = importlib.util.spec_from_file_location("hatch_build", CORE / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    project = tomllib.loads((CORE / "pyproject.toml").read_text(encoding="utf-8"))
    own = dict(project["project"])
    own |= project["tool"]["hatch"]["metadata"]["hooks"]["custom"]
    module.CoreMetadata(str(CORE), own).update(own)
    assert set(own["dynamic"]) <= own.keys()
    return own


def test_it_is_the_same_project_with_fewer_libraries(metadata):
    same = ("version", "requires-python", "license", "license-files", "scripts", "entry-points", "classifiers")
    assert {name: metadata[name] for name in same} == {name: WHOLE[name] for name in same}
    assert set(metadata["dependencies"]) < set(WHOLE["dependencies"])
    assert (CORE / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_what_it_leaves_out_is_known_by_name(metadata):
    left_out = set(names(WHOLE["dependencies"])) - set(names(metadata["dependencies"]))
    assert left_out == set(metadata["left_out"])
    assert sorted(IMPORTED_AS.get(name, name) for name in left_out) == sorted(LEFT_OUT)


def test_its_folder_alone_is_refused(metadata, tmp_path):  # noqa: ARG001 - hatchling is there
    spec = importlib.util.spec_from_file_location("hatch_build", CORE / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(FileNotFoundError, match="Build fedgen-bench-core in a clone"):
        module.CoreMetadata(str(tmp_path / "core"), {}).update({})


@pytest.fixture(scope="module")
def reviewed(tmp_path_factory):
    """What the commands say in a process that has none of the libraries that are left out."""
    folder = tmp_path_factory.mktemp("review")
    shutil.copytree(ROOT / "leaderboards" / "ptb-compression", folder / "ptb-compression")
    paths = [str(ROOT / "tests"), *filter(None, sys.path)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{CHILD}"]
        + [json.dumps(one) for one in ((*LEFT_OUT, "ray", "accelerate", "bitsandbytes"), (*REVIEW, *HEAVY))],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("command", REVIEW)
def test_a_review_needs_none_of_them(command, reviewed):
    code, said = reviewed[command]
    assert (code, REVIEW[command] in said) == (0, True), said


@pytest.mark.parametrize("command", HEAVY)
def test_who_needs_one_says_what_to_install(command, reviewed):
    code, said = reviewed[command]
    assert code == 1
    assert re.fullmatch(r"Error: This needs `\w+`, which is not installed: .*`pip install \.` in a clone\.\n", said), (
        said
    )


def test_other_missing_modules_are_no_business_of_it():
    assert "`torch`" in missing_library(ModuleNotFoundError("no", name="torch.nn"))
    assert missing_library(ModuleNotFoundError("no", name="my_own_library")) == ""
    assert missing_library(ImportError("no", name="torch")) == ""


def test_its_components_come_from_fedgen_bench(monkeypatch):
    class Point:
        name, group = "fedavg", "fedgen_bench"

        def __init__(self, distribution):
            self.dist = type("Distribution", (), {"name": distribution, "version": "0.1.0"})

    both = [Point("fedgen-bench-core"), Point("fedgen-bench")]
    monkeypatch.setattr(plugins.importlib.metadata, "entry_points", lambda **_: both)
    usable, failures = plugins._entry_points(())
    assert [(name, provenance.distribution) for name, _, provenance in usable] == [("fedavg", "fedgen-bench")]
    assert failures == []
