"""What is exported computes what was trained, loaded by peft, transformers or diffusers without our code."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from fedgen_bench_plugins.backbones import grounds
from fedgen_bench_plugins.backbones.exporting import LanguageModelExporter, UNetExporter
from fedgen_bench_plugins.backbones.loading import load_backbone, load_unet
from fedgen_bench_plugins.backbones.options import Loading
from fedgen_bench_plugins.backbones.unet import quiet_diffusers
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from fedgen_bench import Adapted, Model, UsageError, seeded_globals
from fedgen_bench.exports.writing import check_out, exporter_of, write_model
from fedgen_bench.federation.parameters import dump_tensors, load_tensors

ALL_LINEAR = ["c_attn", "c_proj", "c_fc", "lm_head"]
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TOKENS = grounds.LANGUAGE_MODEL.inputs()["tokens"]
IMAGES = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(3))
LABELS, TIMESTEPS = torch.tensor([0, 3, 10]), torch.tensor([5, 400, 990])

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*"),  # peft speaks of merging, which is not done here
    pytest.mark.filterwarnings("ignore:.*fan_in_fan_out.*"),
]


@pytest.fixture(scope="module")
def language_model():
    return load_backbone("tiny-wire-lm")


@pytest.fixture(scope="module")
def unet():
    return load_unet("tiny-shapes-unet", n_classes=10, image_size=16)


def task_of(backbone):
    return SimpleNamespace(new_module=lambda: copy.deepcopy(backbone.module))


def trained(adapted):
    """Other values than at the start, everywhere."""
    random = torch.Generator().manual_seed(7)
    return {
        name: one + 0.1 * torch.randn(one.shape, generator=random)
        for name, one in dump_tensors(adapted.trainable).items()
    }


@torch.inference_mode()
def outputs(adapted, model, compute):
    adapted.fold(model.merges)
    load_tensors(adapted.trainable, model.tensors, adapted.low_rank)
    return compute(adapted.module)


@torch.inference_mode()
def logits(module):
    return module(input_ids=TOKENS).logits[:, -TOKENS.shape[1] :]


@torch.inference_mode()
def noise(module):
    return module(IMAGES, TIMESTEPS, LABELS)


def plain_unet(backbone):
    """The backbone with a U-Net as diffusers reads it from the backbone's own folder."""
    from diffusers import UNet2DConditionModel

    again = copy.deepcopy(backbone.module)
    again.unet = UNet2DConditionModel.from_pretrained(UNetExporter(backbone).base, subfolder="unet")
    return again


def written(adapted, model, backbone, folder, *, merge=False):
    exporter = LanguageModelExporter(backbone) if hasattr(backbone, "tokenizer") else UNetExporter(backbone)
    folder.mkdir(exist_ok=True)
    return write_model(adapted, model, task_of(backbone), exporter, "some", folder, merge=merge)


def loaded(folder, base):
    """By peft on the backbone's own folder, or as a whole."""
    if not (folder / "adapter_config.json").exists():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    plain = AutoModelForCausalLM.from_pretrained(LanguageModelExporter(base).base, dtype=torch.float32)
    return PeftModel.from_pretrained(plain, folder).eval()


LANGUAGE_MODEL_CASES = [
    ("lora", {"targets": ALL_LINEAR, "ranks": {"lm_head": 3, "c_proj": 2}, "alpha": 6.0}, "peft"),
    ("lora", {"rank": 3, "alpha": 5.0}, "peft"),
    ("mixed_lora", {}, "peft"),
    ("dora", {"targets": ["c_attn", "lm_head"]}, "peft"),
    ("ia3", {}, "peft"),
    ("lora", {"targets": ["all", "head"], "ranks": {"mlp": 2}}, "peft"),
    ("prompt", {"n_tokens": 5}, "peft"),
    ("prefix", {"n_tokens": 5}, "peft"),
    ("full", {}, "transformers"),
    ("bitfit", {}, "transformers"),
    ("layernorm", {}, "transformers"),
    ("last_layer", {"head": True}, "transformers"),
]


@pytest.mark.parametrize(("name", "params", "library"), LANGUAGE_MODEL_CASES)
def test_language_model_computes_the_same_where_it_is_loaded(name, params, library, attach, language_model, tmp_path):
    adapted = attach(name, language_model.module, **params)
    model = Model(trained(adapted))
    _, loading = written(adapted, model, language_model, tmp_path / "out")
    assert loading.library == library
    found = logits(loaded(tmp_path / "out", language_model))
    expected = outputs(adapted, model, logits)
    assert not torch.allclose(expected, logits(language_model.module), atol=1e-2)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").eos_token_id == language_model.eos_id


@pytest.mark.parametrize(
    ("name", "params"), [("lora", {"targets": ALL_LINEAR}), ("dora", {"targets": ["c_attn", "lm_head"]}), ("ia3", {})]
)
def test_merged_model_needs_no_peft_and_leaves_a_tied_embedding_alone(name, params, attach, language_model, tmp_path):
    adapted = attach(name, language_model.module, **params)
    model = Model(trained(adapted))
    expected = outputs(adapted, model, logits)
    _, loading = written(adapted, model, language_model, tmp_path / "out", merge=True)
    assert loading.library == "transformers"
    merged = loaded(tmp_path / "out", language_model)
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(merged.transformer.wte.weight, language_model.module.transformer.wte.weight)


@pytest.mark.parametrize("merge", [False, True])
def test_tied_head_of_another_architecture_changes_alone(merge, attach, language_model, tmp_path):
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=245, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, tie_word_embeddings=True, bos_token_id=1, eos_token_id=1,
    )  # fmt: skip
    with seeded_globals(3):
        LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    language_model.tokenizer.save_pretrained(tmp_path / "base")
    llama = load_backbone(str(tmp_path / "base"))
    adapted = attach("lora", llama.module, targets=["attention", "head"], rank=3)
    model = Model(trained(adapted))
    expected = outputs(adapted, model, logits)
    written(adapted, model, llama, tmp_path / "out", merge=merge)
    found = loaded(tmp_path / "out", llama)
    torch.testing.assert_close(logits(found), expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(found.get_input_embeddings().weight, llama.module.get_input_embeddings().weight)


@pytest.mark.parametrize("merge", [False, True])
def test_updates_folded_into_the_backbone_are_stacked_or_merged(merge, attach, language_model, tmp_path):
    adapted = attach("lora", language_model.module, targets=["c_attn", "lm_head"], rank=2)
    random = torch.Generator().manual_seed(3)
    merges = tuple(
        {
            name: torch.randn((r, *one.shape[1:]) if name.endswith("A.weight") else (len(one), r), generator=random) / 5
            for name, one in dump_tensors(adapted.trainable).items()
        }
        for r in (4, 3)
    )
    model = Model(trained(adapted), merges)
    expected = outputs(adapted, model, logits)
    written(adapted, model, language_model, tmp_path / "out", merge=merge)
    found = loaded(tmp_path / "out", language_model)
    torch.testing.assert_close(logits(found), expected, rtol=1e-4, atol=1e-4)
    if not merge:
        assert {one.r["default"] for one in found.modules() if hasattr(one, "lora_A")} == {2 + 4 + 3}


def test_model_of_a_lower_rank_is_exported_at_its_own_rank(attach, language_model, tmp_path):
    adapted = attach("mixed_lora", language_model.module, client_ranks=[2, 8])
    tensors = {name: one[:2] if "lora_A" in name else one[:, :2] for name, one in trained(adapted).items()}
    written(adapted, Model(tensors), language_model, tmp_path / "out")
    found = loaded(tmp_path / "out", language_model)
    assert {one.r["default"] for one in found.modules() if hasattr(one, "lora_A")} == {2}
    torch.testing.assert_close(logits(found), outputs(adapted, Model(tensors), logits), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_what_stands_before_a_text_is_not_merged(name, attach, language_model, tmp_path):
    adapted = attach(name, language_model.module, n_tokens=3)
    with pytest.raises(UsageError, match=r"merges no pr.* tuning into a backbone's weights\. Leave out `--merge`"):
        written(adapted, Model(trained(adapted)), language_model, tmp_path / "out", merge=True)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("lora", {"targets": ATTENTION, "ranks": {"to_q": 5}, "rank": 3, "alpha": 7.0}),
        ("lora", {"targets": ["attention", "mlp"], "ranks": {"values": 2}}),
        ("dora", {"targets": ["attention"], "rank": 3}),
    ],
)
def test_unet_lora_changes_what_diffusers_computes(name, params, attach, unet, tmp_path):
    adapted = attach(name, unet.module, **params)
    model = Model(trained(adapted))
    _, loading = written(adapted, model, unet, tmp_path / "out")
    assert loading.library == "diffusers"
    again = plain_unet(unet)
    before = noise(again)
    again.unet.load_lora_adapter(tmp_path / "out", prefix=None, weight_name="pytorch_lora_weights.safetensors")
    assert not torch.allclose(noise(again), before, atol=1e-2)
    torch.testing.assert_close(noise(again), outputs(adapted, model, noise), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("params", [{}, {"outputs": ["to_k", "to_v"], "inputs": ["ff.net.2"]}])
def test_other_unet_adapters_are_loaded_by_peft(params, attach, unet, tmp_path):
    adapted = attach("ia3", unet.module, **params)
    model = Model(trained(adapted))
    written(adapted, model, unet, tmp_path / "out")
    again = plain_unet(unet)
    again.unet = PeftModel.from_pretrained(again.unet, tmp_path / "out").eval()
    torch.testing.assert_close(noise(again), outputs(adapted, model, noise), rtol=1e-4, atol=1e-5)


def test_lora_of_a_unet_that_diffusers_gives_none_is_loaded_by_peft(attach, tmp_path):
    from diffusers import DDPMScheduler, UNet2DModel

    with quiet_diffusers(), seeded_globals(3):
        made = UNet2DModel(
            sample_size=16, layers_per_block=1, block_out_channels=(8, 8), norm_num_groups=4, attention_head_dim=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        )  # fmt: skip
        made.save_pretrained(tmp_path / "base")
        DDPMScheduler().save_pretrained(tmp_path / "base")
    backbone = load_unet(str(tmp_path / "base"), n_classes=10, image_size=16)
    adapted = attach("lora", backbone.module, targets=["to_q", "to_out.0"])
    model = Model(trained(adapted))
    _, loading = written(adapted, model, backbone, tmp_path / "out")
    known = {}
    exec(loading.of(str(tmp_path / "out")), known)
    again = copy.deepcopy(backbone.module)
    again.unet = known["unet"].eval()
    torch.testing.assert_close(noise(again), outputs(adapted, model, noise), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "params", "merge"),
    [("full", {}, False), ("textual_inversion", {}, False), ("lora", {"targets": ATTENTION}, True)],
)
def test_whole_unet_is_a_backbone_again(name, params, merge, attach, unet, tmp_path):
    adapted = attach(name, unet.module, **params)
    model = Model(trained(adapted))
    expected = outputs(adapted, model, noise)
    written(adapted, model, unet, tmp_path / "out", merge=merge)
    again = load_unet(str(tmp_path / "out"), n_classes=10, image_size=16)
    torch.testing.assert_close(noise(again.module), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("merge", [False, True])
def test_backbone_that_is_stored_in_bf16_gives_the_same_numbers(merge, attach, tmp_path):
    loading = Loading(dtype="bf16", gradient_checkpointing=True)
    backbone = load_backbone("tiny-wire-lm", loading=loading)
    adapted = attach("lora", backbone.module, targets=ALL_LINEAR)
    model = Model(trained(adapted))
    expected = outputs(adapted, model, logits)
    exporter = LanguageModelExporter(backbone, loading)
    _, how = write_model(adapted, model, task_of(backbone), exporter, "some", tmp_path, merge=merge)
    known = {}
    exec(how.of(str(tmp_path)), known)
    torch.testing.assert_close(logits(known["model"].eval()), expected, rtol=1e-4, atol=1e-4)
    assert known["model"].config.use_cache


def test_unet_that_is_stored_in_bf16_gives_the_same_numbers(attach, tmp_path):
    loading = Loading(dtype="bf16")
    backbone = load_unet("tiny-shapes-unet", n_classes=10, image_size=16, loading=loading)
    adapted = attach("lora", backbone.module, targets=ATTENTION)
    model = Model(trained(adapted))
    _, how = write_model(
        adapted, model, task_of(backbone), UNetExporter(backbone, loading), "some", tmp_path, merge=False
    )
    known = {}
    exec(how.of(str(tmp_path)), known)
    again = load_unet("tiny-shapes-unet", n_classes=10, image_size=16).module
    again.unet = known["unet"].eval()
    torch.testing.assert_close(noise(again), outputs(adapted, model, noise), rtol=1e-4, atol=1e-5)


def test_nothing_is_merged_into_quantised_weights(attach, language_model, tmp_path):
    adapted = attach("lora", language_model.module)
    layer = next(one for one in adapted.module.modules() if hasattr(one, "lora_A")).get_base_layer()
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(UsageError, match=r"weights are quantised, .* Leave out `--merge`"):
        written(adapted, Model(trained(adapted)), language_model, tmp_path / "out", merge=True)


def test_code_names_place_and_quantisation_of_a_hub_backbone(language_model):
    module = copy.deepcopy(language_model.module)
    module.config.name_or_path = "owner/model"
    module.config.quantization_config = BitsAndBytesConfig(load_in_8bit=True)
    loading = Loading(revision="abc", subfolder="inner", quantization="8bit")
    exporter = LanguageModelExporter(replace(language_model, module=module), loading)
    assert (exporter.base, exporter.revision) == ("owner/model", "abc")
    assert exporter._loaded_base() == (
        'AutoModelForCausalLM.from_pretrained("owner/model", revision="abc", subfolder="inner", dtype="float32", '
        "quantization_config=BitsAndBytesConfig(**{'load_in_8bit': True}))"
    )


@pytest.mark.parametrize(("name", "licence"), [("tiny-wire-lm", "apache-2.0"), ("mini-lm", ""), ("owner/model", "")])
def test_licence_is_told_only_where_it_is_known(name, licence, language_model):
    assert LanguageModelExporter(replace(language_model, name=name)).licence == licence


def test_adapter_of_nobodys_format_gets_a_sentence(language_model, tmp_path):
    module = copy.deepcopy(language_model.module)
    shift = torch.nn.Parameter(torch.zeros(3))
    module.transformer.register_parameter("shift", shift)
    with pytest.raises(UsageError, match="`some` is neither of peft nor made of the backbone's own parameters"):
        written(Adapted(module, {"shift": shift}), Model({"shift": shift}), language_model, tmp_path / "out")


def test_peft_adapter_that_trains_more_than_peft_writes_gets_a_sentence(attach, language_model, tmp_path):
    adapted = attach("ia3", language_model.module)
    more = dict(adapted.module.named_parameters())["base_model.model.transformer.wpe.weight"]
    both = replace(adapted, trainable={**adapted.trainable, "wpe": more})
    with pytest.raises(UsageError, match="trains 9,088 numbers, of which peft writes 896"):
        written(both, Model(dump_tensors(both.trainable)), language_model, tmp_path / "out")


def test_out_is_a_new_folder(tmp_path):
    check_out(tmp_path / "new")
    (tmp_path / "empty").mkdir()
    check_out(tmp_path / "empty")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is not empty\. Name a new folder"):
        check_out(tmp_path)
    with pytest.raises(UsageError, match=r"is no folder\. Name a new folder"):
        check_out(tmp_path / "file")


def test_task_that_cannot_export_is_told():
    with pytest.raises(UsageError, match="Task `toy` does not say how its backbone is exported"):
        exporter_of(SimpleNamespace(), "toy")
