"""The tutorial, file by file and command by command, behind a finished `quick` suite."""

import json
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path

import commands
import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
FILES = [body for language, body in BLOCKS if language == "python"]


def ranked(output):
    """Contenders in the order of the printed table."""
    found = [line.split()[:2] for line in output.splitlines() if re.match(r"\d+ ", line)]
    ranks = [int(rank) for rank, _ in found]
    assert ranks[0] == 1
    assert all(after in (before, place) for place, (before, after) in enumerate(pairwise(ranks), start=2))
    return [name for _, name in found]


def qualities(root, contender):
    records = json.loads((root / "leaderboards" / "quick" / "results.json").read_text(encoding="utf-8"))["records"]
    mine = {one["seed"]: one["metrics"]["test/perplexity_per_word"] for one in records if one["contender"] == contender}
    assert set(mine) == {1, 2}
    return mine


@pytest.fixture(scope="module")
def steps(quick, tmp_path_factory):
    """What every command printed, with the qualities of `my_method` behind each `run`."""
    root = tmp_path_factory.mktemp("tutorial")
    shutil.copytree(quick.root, root, dirs_exist_ok=True)
    done = []
    for language, body in BLOCKS:
        if language == "python":
            (root / "my_method.py").write_text(body, encoding="utf-8")
        for line in body.splitlines() if language == "bash" else ():
            program, *words = shlex.split(line)
            if program != "fedgen-bench":
                assert line == "pip install ."
                continue
            result = commands.here(root, *words)
            assert result.returncode == 0, (line, result.stderr)
            done.append((line, result, qualities(root, "my_method") if "--plugin" in words else {}))
    return root, done


def test_tutorial_has_two_versions_and_every_command(steps):
    assert len(FILES) == 2
    assert [line.split()[1] for line, *_ in steps[1]] == [
        "run",
        "check",
        "run",
        "check",
        "run",
        "compare",
        "new-plugin",
    ]


def test_tutorial_quick_suite_runs_nothing_twice(steps):
    _, result, _ = steps[1][0]
    assert " in " not in result.stderr.replace("Written to", "")


def test_tutorial_first_version_has_the_quality_of_fedgen_edge(steps):
    root, done = steps
    assert done[2][2] == qualities(root, "fedgen_edge")
    assert done[2][1].stderr.count(": done in ") == 2


def test_tutorial_second_version_is_ranked_and_differs(steps):
    _, done = steps
    assert "my_method" in ranked(done[4][1].stdout)
    assert done[4][2] != done[2][2]
    assert done[4][1].stderr.count(": done in ") == 2


def test_tutorial_tables_show_the_rows_in_the_order_that_comes_out(steps):
    _, done = steps
    shown = [body for language, body in BLOCKS if language == "text" and body.startswith("rank")]
    assert [ranked(one) for one in shown] == [ranked(done[i][1].stdout) for i in (2, 4)]


def test_tutorial_explains_the_client_half_that_is_in_the_file():
    (part,) = [body for language, body in BLOCKS if language == "text" and "def client" in body]
    assert part in FILES[1]


def test_tutorial_package_is_written(steps):
    root, _ = steps
    assert (root / "my-package" / "pyproject.toml").is_file()
