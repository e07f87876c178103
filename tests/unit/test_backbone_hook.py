"""Backbones that plugins register: their grounds carry adapters of a new kind, `pretrain` follows their recipes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from fedgen_bench.base.errors import UsageError
from fedgen_bench.cli.main import cli
from fedgen_bench.contract.backbones import BackboneSpec
from fedgen_bench.registry.plugins import load_registry
from fedgen_bench.testing import contracts_of
from fedgen_bench.testing.outcomes import outcomes_of

PAGE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
PAIRS = re.search(r'```python\n("""A table of letter pairs.*?)```', PAGE, flags=re.DOTALL).group(1)
SHIFTS = '''
"""Everything of `pairs` is trained; it fits no other kind."""

from fedgen_bench import Adapted, AdapterSpec, hookimpl


class Everything:
    def __init__(self, params):
        self.params = params

    def attach(self, module, seeds):
        return Adapted(module, dict(module.named_parameters()))


@hookimpl
def register_adapters():
    kinds = {{"{kind}": {{}}}}
    return [AdapterSpec(name="everything", summary="All of it.", build=Everything, backbones=kinds)]
'''
TRAINED = '''
"""A backbone whose training is a sentence."""

from pathlib import Path

from fedgen_bench import BackboneSpec, hookimpl


def pretrain(recipe, data, work, say):
    say(f"{recipe.name} with {data.name}")
    return work / "made"


@hookimpl
def register_backbones():
    here = Path(__file__).parent
    return [
        BackboneSpec(name="told", summary="", kind="pairs", folder=lambda: here, recipe=here / "told.toml",
                     pretrain=pretrain)
    ]
'''


def plugin(folder, name, text):
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def checked(registry, *names):
    return {one.contract.check: one for one in outcomes_of(contracts_of(registry, names=set(names)))}


def test_a_stranger_s_kind_of_backbone_carries_adapters(tmp_path):
    files = [plugin(tmp_path, "pairs", PAIRS), plugin(tmp_path, "everything", SHIFTS.format(kind="pairs"))]
    registry = load_registry(files, environ={})
    found = list(outcomes_of(contracts_of(registry, names={"backbone/pairs", "adapter/everything"})))
    assert {(one.contract.subject, one.status, one.message) for one in found} == {
        ("backbone/pairs", "passed", ""),
        ("adapter/everything", "passed", ""),
        ("adapter/everything on pairs", "passed", ""),
    }
    assert {"check_ground", "check_only_trainable_learns"} <= {one.contract.check for one in found}


def test_a_kind_without_a_ground_is_told_with_those_there_are(tmp_path):
    registry = load_registry([plugin(tmp_path, "everything", SHIFTS.format(kind="pears"))], environ={})
    found = checked(registry, "adapter/everything")
    assert "`backbones` names `pears`; there are language_model, unet." in found["check_rehearsal"].message


@pytest.mark.parametrize(
    ("change", "check", "told"),
    [
        (("eval()", "train()"), "check_ground", "training mode"),
        (("torch.zeros(26, 26)", "torch.randn(26, 26)"), "check_ground", "moved the global generator"),
        (
            ('batch["letters"][:, 1:].flatten())', 'batch["letters"][:, 1:].flatten()).detach()'),
            "check_ground",
            "pairs.py:",
        ),
        (("lambda: Path(__file__).parent", "lambda: Path('nowhere')"), "check_rehearsal", "no folder"),
    ],
)
def test_a_broken_backbone_is_told(tmp_path, change, check, told):
    assert change[0] in PAIRS
    registry = load_registry([plugin(tmp_path, "pairs", PAIRS.replace(*change))], environ={})
    found = checked(registry, "backbone/pairs")[check]
    assert found.status == "failed"
    assert told in found.message


def test_pretrain_follows_the_backbone_s_own_recipe_or_another(tmp_path):
    own, other = tmp_path / "told.toml", tmp_path / "other.toml"
    own.write_text('name = "told"\n', encoding="utf-8")
    other.write_text('name = "told"\n', encoding="utf-8")
    words = ["--data", str(tmp_path), "--work", str(tmp_path), "--plugin", str(plugin(tmp_path, "told", TRAINED))]
    for given, used in ((["told"], own), (["told", "--recipe", str(other)], other), (["--recipe", str(other)], other)):
        done = CliRunner().invoke(cli, ["pretrain", *given, *words])
        assert done.exit_code == 0, done.output
        assert f"{used.name} with {tmp_path.name}" in done.stderr
        assert done.stdout == f"{tmp_path / 'made'}\n"


def test_pretrain_names_the_backbones_that_have_a_recipe(tmp_path):
    nameless = tmp_path / "nameless.toml"
    nameless.write_text("steps = 1\n", encoding="utf-8")
    words = ["--data", str(tmp_path), "--work", str(tmp_path)]
    for given, told in (
        ([], "Name the backbone to train: cifarnet, mini-lm, mini-unet, mini-unet-semi"),
        (["--recipe", str(nameless)], "Name the backbone to train"),
        (["mini-ln"], "Did you mean `mini-lm`"),
        (["tiny-wire-lm"], "Unknown backbone with a recipe `tiny-wire-lm`"),
        (["--recipe", str(tmp_path / "none.toml")], "cannot be read"),
    ):
        done = CliRunner().invoke(cli, ["pretrain", *given, *words])
        assert isinstance(done.exception, UsageError)
        assert told in str(done.exception)


def test_every_backbone_that_comes_with_us_has_its_folder_and_recipe():
    found = {name: one.spec for name, one in load_registry(environ={}).components["backbone"].items()}
    recipes = {name: one.recipe for name, one in found.items() if one.recipe}
    assert recipes.keys() == {"mini-lm", "mini-unet", "mini-unet-semi", "cifarnet"}
    for name, recipe in recipes.items():
        assert f'name = "{name}"' in recipe.read_text(encoding="utf-8")
        assert recipe.parent == found[name].folder()


def test_a_recipe_without_what_follows_it_is_refused():
    with pytest.raises(ValueError, match="has a recipe and no `pretrain`"):
        BackboneSpec(name="a", summary="", kind="b", folder=Path, recipe=Path("a.toml"))
