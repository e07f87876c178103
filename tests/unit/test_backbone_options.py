"""The table `loading` of tasks: storage, revision, subfolder, gradient checkpointing, quantisation; refused early."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
import torch
from fedgen_bench_plugins.backbones.loading import load_backbone, load_unet
from fedgen_bench_plugins.backbones.options import Loading
from fedgen_bench_plugins.backbones.shipped import folders_of, locate
from fedgen_bench_plugins.tasks.text_params import Params

from fedgen_bench.base.errors import DataError, NotReadyError, SuiteError
from fedgen_bench.contract.params import make_params
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.preflight import preflight
from fedgen_bench.registry.datasets import finder
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.load import load_suite

UNET = {"n_classes": 10, "image_size": 16}


def cells(registry, *overrides, suite="quick", contenders=("fedgen_edge",)):
    spec = load_suite(registry.get("suite", suite).spec, registry, overrides)
    return expand(spec, registry, contenders=list(contenders), seeds=[1])


def problems(registry, *overrides, device="cpu", **chosen):
    try:
        preflight(cells(registry, *overrides, **chosen), Loader(registry, finder(registry, fetch=False)), device)
    except NotReadyError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("suite", ["quick", "quick-images"])
def test_the_table_stands_in_a_configuration_where_it_is_not_the_default(registry, suite):
    plain, named, low = (
        cells(registry, *some, suite=suite)[0].config.task
        for some in ([], ["task.params.loading.dtype=fp32"], ["task.params.loading.dtype=bf16"])
    )
    assert plain.params == named.params
    assert "loading" not in plain.params
    assert low.params["loading"] == {
        "dtype": "bf16", "revision": None, "subfolder": None, "gradient_checkpointing": False, "quantization": "none",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dtype": "fp8"}, "`loading.dtype`: input should be 'fp32', 'bf16' or 'fp16' (got 'fp8')."),
        ({"dtyp": "bf16"}, "Did you mean `dtype`?"),
        ({"revision": " "}, "revision must be a commit, tag or branch; it is empty."),
        ({"subfolder": "../else"}, "subfolder must be a path within the backbone's folder, got '../else'."),
        ({"subfolder": "/root"}, "subfolder must be a path within the backbone's folder, got '/root'."),
        ({"gradient_checkpointing": 1}, "`loading.gradient_checkpointing`: input should be a valid boolean (got 1)."),
        ({"quantization": "2bit"}, "`loading.quantization`: input should be 'none', '8bit' or '4bit' (got '2bit')."),
    ],
)
def test_what_the_table_may_not_hold(values, said):
    none, ((path, sentence),) = make_params(Params, {"loading": values})
    assert none is None
    assert path[0] == "loading"
    assert said in sentence


def test_a_wrong_value_is_told_on_the_command_line_in_one_sentence(registry):
    with pytest.raises(SuiteError, match=r"`loading\.dtype`: input should be 'fp32', 'bf16' or 'fp16'"):
        cells(registry, "task.params.loading.dtype=int3")


@pytest.mark.parametrize(
    ("loading", "said"),
    [
        (Loading(revision="v1"), "is a folder here, and folders have no revisions. Leave `loading.revision` out"),
        (Loading(subfolder="fine"), "has no subfolder `fine`. It has none. Leave `loading.subfolder` out."),
    ],
)
def test_folders_have_neither_revisions_nor_subfolders_that_are_not_there(loading, said):
    for load in (lambda: load_backbone("tiny-wire-lm", loading=loading), lambda: folders_of("mini-lm", str, loading)):
        with pytest.raises(DataError) as refused:
            load()
        assert said in str(refused.value)


def test_a_model_in_a_subfolder_is_found_and_counts_alone(registry, tmp_path):
    shutil.copytree(locate("tiny-wire-lm"), tmp_path / "text" / "lm")
    shutil.copytree(locate("tiny-shapes-unet"), tmp_path / "unets" / "own")
    found = load_backbone(str(tmp_path), loading=Loading(subfolder="text/lm"))
    assert found.sha256 == load_backbone("tiny-wire-lm").sha256
    unet = load_unet(str(tmp_path), **UNET, loading=Loading(subfolder="unets/own"))
    assert unet.sha256 == load_unet("tiny-shapes-unet", **UNET).sha256
    inner = Loading(subfolder="text/lm")
    assert folders_of(str(tmp_path), finder(registry, fetch=False), inner)["backbone"] == tmp_path / "text" / "lm"
    with pytest.raises(DataError, match=r"has no subfolder `lm`\. It has: `text`, `unets`\. Name one of them\."):
        load_backbone(str(tmp_path), loading=Loading(subfolder="lm"))


def test_a_hub_name_is_read_at_its_revision_and_subfolder(monkeypatch):
    asked = []

    def read(where, **how):
        asked.append((where, how.get("revision"), how.get("subfolder")))
        raise OSError("We couldn't connect to 'https://huggingface.co' to load the files.\nMore of it.")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", read)
    with pytest.raises(DataError) as refused:
        load_backbone("owner/name", loading=Loading(revision="0a1b", subfolder="lm"))
    assert asked == [("owner/name", "0a1b", "lm")]
    assert "We couldn't connect to 'https://huggingface.co'" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_hubs_unet_is_listed_and_read_at_its_revision(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "huggingface_hub.list_repo_files",
        lambda name, revision=None: asked.append((name, revision)) or ["own/unet/config.json"],
    )
    monkeypatch.setattr(
        "diffusers.UNet2DModel.load_config",
        lambda where, **how: asked.append((where, how["revision"], how["subfolder"])) or {"_class_name": "Other"},
    )
    with pytest.raises(DataError, match="it is a Other"):
        load_unet("owner/name", **UNET, loading=Loading(revision="0a1b", subfolder="own"))
    assert asked == [("owner/name", "0a1b"), ("owner/name", "0a1b", "own/unet")]


def test_backbones_are_stored_as_asked_and_compute_in_fp32():
    for dtype, stored in (("bf16", torch.bfloat16), ("fp16", torch.float16)):
        module = load_backbone("tiny-wire-lm", loading=Loading(dtype=dtype)).module
        assert {one.dtype for one in module.parameters()} == {stored, torch.float32}
        assert module(input_ids=torch.ones(1, 4, dtype=torch.long)).logits.dtype == torch.float32
        unet = load_unet("tiny-shapes-unet", **UNET, loading=Loading(dtype=dtype)).module
        assert {one.dtype for one in unet.parameters()} == {stored, torch.float32}
        assert unet.context.dtype == torch.float32


def test_a_dtype_that_the_device_lacks_is_told_before_the_first_cell(registry, monkeypatch):
    monkeypatch.setattr("fedgen_bench.federation.preflight.has_dtype", lambda _, dtype: dtype != "bfloat16")
    (problem,) = problems(registry, "task.params.loading.dtype=bf16", device="mps")
    assert problem.startswith(
        "`mps` has no bfloat16, in which weights of the backbone are stored. Store them in another"
    )


def test_quantisation_without_its_library_is_told_with_what_installs_it(registry, monkeypatch):
    plain = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else plain(name))
    (problem,) = problems(registry, "task.params.loading.quantization=4bit")
    assert problem.endswith("is not installed. Install it with `pip install 'fedgen-bench[quantized]'`.")
    with pytest.raises(DataError, match="is a U-Net, and bitsandbytes quantises language models"):
        load_unet("tiny-shapes-unet", **UNET, loading=Loading(quantization="8bit"))


def test_full_models_train_in_fp32_beside_adapters_on_stored_weights(registry):
    chosen = {"contenders": ["fedgen_edge", "fedavg_full"]}
    assert problems(registry, "task.params.loading.dtype=bf16", **chosen) == ()
