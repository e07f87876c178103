"""Workflows, templates and the files around them say what holds: versions, commands, environments, paths."""

import configparser
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from fedgen_bench.cli.main import COMMANDS

yaml = pytest.importorskip("yaml")
ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROSE = [ROOT / "SECURITY.md", ROOT / "CODE_OF_CONDUCT.md", *GITHUB.rglob("*.md"), *GITHUB.rglob("*.yml")]
PYTHONS = [
    one.rpartition(" ")[2]
    for one in PROJECT["classifiers"]
    if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", one)
]


def loaded(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def jobs():
    for path in WORKFLOWS:
        for name, job in loaded(path)["jobs"].items():
            yield pytest.param(job, id=f"{path.stem}-{name}")


def steps(job):
    return job["steps"]


def commands(job):
    """Every line that a job runs, as words."""
    for step in steps(job):
        for line in step.get("run", "").splitlines():
            if "<<" in line:
                break
            yield shlex.split(line)


def test_there_are_the_workflows_that_contributing_names():
    named = re.findall(r"\.github/workflows/(\w+\.yml)", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert sorted(named) == [one.name for one in WORKFLOWS] != []


def test_pythons_of_the_tests_are_those_of_the_classifiers():
    matrix = loaded(GITHUB / "workflows" / "test.yml")["jobs"]["newest"]["strategy"]["matrix"]
    assert matrix["python"] == PYTHONS
    assert PROJECT["requires-python"] == f">={PYTHONS[0]}"
    assert {one.partition("-")[0] for one in matrix["os"]} == {"ubuntu", "macos"}


@pytest.mark.parametrize("job", list(jobs()))
def test_job_uses_a_supported_python_and_keeps_no_credentials(job):
    for step in steps(job):
        action, given = step.get("uses", "").partition("@")[0], step.get("with", {})
        if action == "actions/setup-python" and "matrix" not in given["python-version"]:
            assert given["python-version"] in PYTHONS
        if action == "actions/checkout":
            assert given["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda one: one.stem)
def test_workflow_may_read_and_no_more_unless_a_job_says_why(path):
    assert loaded(path)["permissions"] == {"contents": "read"}
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text
    assert "pull_request_target" not in text
    writing = {name for name, job in loaded(path)["jobs"].items() if "write" in str(job.get("permissions", ""))}
    assert writing == ({"publish"} if path.stem in {"docs", "release"} else set())


@pytest.mark.parametrize("job", list(jobs()))
def test_environments_that_a_job_runs_are_those_of_tox(job):
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    for words in commands(job):
        if words[:3] == ["tox", "run", "-e"]:
            for name in words[3].split(","):
                assert f"testenv:{name}" in tox, name


def test_every_environment_of_tox_runs_somewhere():
    run = {
        name
        for job in jobs()
        for words in commands(job.values[0])
        if words[:3] == ["tox", "run", "-e"]
        for name in words[3].split(",")
    }
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    assert run - {"browser", "lowest-core", "lowest"} == set(tox["tox"]["env_list"].replace(",", " ").split())


@pytest.mark.parametrize("path", PROSE, ids=lambda one: one.name)
def test_commands_and_paths_exist(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`fedgen-bench ([a-z-]+)", text):
        assert name in COMMANDS, name
    for name in re.findall(r"\b((?:docs|tests|\.github)/[\w./-]+\.(?:md|py|yml))", text):
        assert (ROOT / name).is_file(), name


def test_submissions_are_looked_at_by_the_code_that_is_there_already():
    """What is run comes from the base; of the pull request only folders of results are checked out."""
    (job,) = loaded(GITHUB / "workflows" / "results.yml")["jobs"].values()
    base, submitted = (step["with"] for step in steps(job) if step.get("uses", "").startswith("actions/checkout"))
    assert (base["path"], base["ref"]) == ("base", "${{ github.event.pull_request.base.sha }}")
    assert (submitted["path"], submitted["sparse-checkout"]) == ("submitted", "leaderboards")
    install, look = commands(job)
    assert install[-1] == "./base/core"
    assert look[:2] == ["python", "base/.github/results.py"]
    assert [one for one in look[2:] if one.startswith("submitted")] == ["submitted/leaderboards"]


def test_release_is_of_the_tagged_version_without_a_token():
    release = loaded(GITHUB / "workflows" / "release.yml")
    assert release[True] == {"push": {"tags": ["v*"]}}  # `on` is true in YAML
    assert release["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert release["jobs"]["publish"]["environment"] == "release"


def test_citation_is_of_this_version_and_licence():
    citation = loaded(ROOT / "CITATION.cff")
    assert (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"])
    assert (citation["license"], citation["cff-version"]) == (PROJECT["license"], "1.2.0")


def test_forms_of_issues_have_what_they_need():
    for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml"):
        if path.name == "config.yml":
            continue
        form = loaded(path)
        assert form["name"]
        assert form["description"]
        ids = [one["id"] for one in form["body"]]
        assert len(set(ids)) == len(ids) > 0
        assert all(one["attributes"]["label"] for one in form["body"])


def test_hooks_before_a_commit_run_what_the_checks_run():
    (repository,) = loaded(ROOT / ".pre-commit-config.yaml")["repos"]
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    dev = " ".join(PROJECT["optional-dependencies"]["dev"])
    for hook in repository["hooks"]:
        tool = hook["entry"].split()[0]
        assert tool in tox
        assert {"ruff": "ruff", "lint-imports": "import-linter"}[tool] in dev


def test_container_gets_what_the_wheel_is_built_from():
    kept = [one[1:] for one in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if one[0] == "!"]
    assert all((ROOT / one).exists() for one in kept)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"]
    assert {one.split("/")[0] for one in wheel["wheel"]["packages"]} <= set(kept)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml"} <= set(kept)
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:(3\.\d+)-", dockerfile, re.MULTILINE)[1] in PYTHONS
    assert 'ENTRYPOINT ["fedgen-bench"]' in dockerfile
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["image"].rpartition(":")[2] in PYTHONS
    assert (ROOT / "docs" / "suite.schema.json").is_file()
