"""`seeds.references`: reference rows on fewer seeds than ranked ones."""

from __future__ import annotations

import json
import shutil

import pytest

from fedgen_bench.base.errors import SuiteError, UsageError
from fedgen_bench.review.claims.gathering import read_published
from fedgen_bench.session.session import Session
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.strict import plain
from fedgen_bench.testing import toy

FIVE, THREE = "seeds.leaderboard=[1, 2, 3, 4, 5]", "seeds.references=[1, 3, 4]"
RANKED, REFERENCES = ("fedgen_edge", "fedavg"), ("local_only", "centralized")


def by_contender(cells):
    found = {}
    for cell in cells:
        found[cell.contender] = (*found.get(cell.contender, ()), cell.seed)
    return found


def test_reference_rows_run_under_their_own_seeds(registry, toy_suite):
    cells = expand(toy_suite(FIVE, THREE), registry)
    assert by_contender(cells) == dict.fromkeys(RANKED, (1, 2, 3, 4, 5)) | dict.fromkeys(REFERENCES, (1, 3, 4))
    same = {cell.digest for cell in expand(toy_suite(FIVE), registry)}
    assert {cell.digest for cell in cells} < same


def test_all_rows_have_the_leaderboard_seeds_when_nothing_is_said(registry, toy_suite):
    cells = expand(toy_suite(FIVE), registry)
    assert set(by_contender(cells).values()) == {(1, 2, 3, 4, 5)}
    assert plain(toy_suite(FIVE).seeds) == {"leaderboard": [1, 2, 3, 4, 5], "tuning": 9}
    assert plain(toy_suite(FIVE, THREE).seeds)["references"] == [1, 3, 4]


def test_tuning_has_its_one_seed_for_reference_rows_too(registry, toy_suite):
    cells = expand(toy_suite(FIVE, THREE), registry, purpose="tune")
    assert by_contender(cells) == dict.fromkeys((*RANKED, *REFERENCES), (9,))


def test_a_seed_that_reference_rows_lack_leaves_them_out(registry, toy_suite):
    suite = toy_suite(FIVE, THREE)
    assert by_contender(expand(suite, registry, seeds=[5])) == dict.fromkeys(RANKED, (5,))
    assert by_contender(expand(suite, registry, seeds=[5, 4], contenders=["local_only"])) == {"local_only": (4,)}


def test_a_reference_row_that_is_named_with_a_seed_that_it_lacks_is_refused(registry, toy_suite):
    with pytest.raises(
        UsageError, match=r"`local_only` is a reference row, which has no seed 2, 5. Choose one of 1, 3, 4"
    ):
        expand(toy_suite(FIVE, THREE), registry, contenders=["fedavg", "local_only"], seeds=[2, 5])
    with pytest.raises(UsageError, match=r"--set seeds\.leaderboard=\[7\] --set seeds\.references=\[\]`"):
        expand(toy_suite(FIVE, THREE), registry, seeds=[7])
    assert expand(toy_suite("seeds.leaderboard=[7]", "seeds.references=[]"), registry, seeds=[7])


@pytest.mark.parametrize(
    ("references", "sentence"),
    [
        ("[1, 6]", "Seed 6 of reference rows is no leaderboard seed. Choose among these."),
        ("[1, 9]", "Seed 9 of reference rows is no leaderboard seed."),
        ("[1, 2, 2]", "Seeds of reference rows are given each once. Remove the second."),
        ("[2, 3]", "Reference rows lack seed 1, of which samples are shown. Add it."),
        ("[-1]", "seeds.references"),
    ],
)
def test_wrong_seeds_of_reference_rows_are_told_in_a_sentence(references, sentence, toy_suite):
    with pytest.raises(SuiteError) as caught:
        toy_suite(FIVE, f"seeds.references={references}")
    assert sentence in str(caught.value)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A session in which a suite with two seeds, one for reference rows, was run and published; and the suite."""
    root = tmp_path_factory.mktemp("references")
    text = toy.SUITE.replace("leaderboard = [1, 2]", "leaderboard = [1, 2]\nreferences = [1]")
    text = text.replace('name = "toy"\n', 'name = "fewer"\n', 1).replace("rounds = 4", "rounds = 1")
    suite = root / "fewer.toml"
    suite.write_text(text)
    session = Session(plugins=[toy.__file__], runs=root / "runs", leaderboards=root / "boards", device="cpu", jobs=1)
    results = session.run(suite)
    assert [event.status for event in results.ended] == ["done"] * 6
    return session, suite


def test_rows_with_all_of_their_seeds_are_done_and_only_ranked_ones_rank(ran):
    session, suite = ran
    table = session.leaderboard(suite).table
    assert {row["contender"]: (row["status"], row["n_seeds"]) for row in table.rows} == {
        **dict.fromkeys(RANKED, ("done", 2)),
        **dict.fromkeys(REFERENCES, ("done", 1)),
    }
    assert {row["contender"] for row in table.rows if row["rank"]} == set(RANKED)
    assert {name: found.n for name, found in table.paired.items()} == {"fedavg": 2, "centralized": 1}
    text = (session.folder(suite) / "table.md").read_text()
    assert "over seeds 1, 2 (rows without a rank: 1)." in text
    assert json.loads((session.folder(suite) / "table.json").read_text())["reference_seeds"] == [1]


def test_what_it_publishes_is_complete(ran):
    session, suite = ran
    folder = session.folder(suite)
    assert session.check_leaderboard(suite) == ()
    assert [one.text for one in session.validate(folder).problems] == []
    claims = session.claims(suite).path.read_text()
    assert "version 1 (2 seeds, 1 for reference rows)" in claims
    assert [cell.run for cell in session.forecast(suite, seeds=[2])] == ["fewer/fedgen_edge/2", "fewer/fedavg/2"]


def test_a_missing_reference_run_is_incomplete_and_one_too_many_is_left_out(ran, tmp_path):
    session, suite = ran
    copy = tmp_path / "boards" / "fewer"
    shutil.copytree(session.folder(suite), copy)
    results = json.loads((copy / "results.json").read_text())
    lost = next(one for one in results["records"] if one["contender"] == "local_only")
    results["records"].remove(lost)
    (copy / "results.json").write_text(json.dumps(results))
    problems = [one.text for one in session.validate(copy).problems]
    assert any("no record of local_only for seed 1" in text for text in problems)
    lost["seed"] = lost["config"]["seed"] = 2
    results["records"].append(lost)
    (copy / "results.json").write_text(json.dumps(results))
    problems = [one.text for one in session.validate(copy).problems]
    assert any("seed 2 is none of the suite's (1)" in text for text in problems)
    records = read_published(copy, session.registry).records
    assert {(one.contender, one.seed) for one in records if one.contender == "local_only"} == set()
