"""The suites whose backbones come from the hub, end to end on folders like the hub's, with few random weights.

Architecture, file names, names of tensors and the tokenizer's size are those of `gpt2` and `google/ddpm-cifar10-32`.
"""

from __future__ import annotations

import csv
import io
import json

import commands
import pytest
import torch
from safetensors.torch import save_file

DDPM = {
    "_class_name": "UNet2DModel", "_diffusers_version": "0.0.4", "act_fn": "silu", "attention_head_dim": None,
    "block_out_channels": [32, 64, 64, 64], "center_input_sample": False,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"], "downsample_padding": 0,
    "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3, "layers_per_block": 2, "mid_block_scale_factor": 1,
    "norm_eps": 1e-06, "norm_num_groups": 32, "out_channels": 3, "sample_size": 16, "time_embedding_type": "positional",
    "up_block_types": ["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
}  # fmt: skip
DDPM_SCHEDULE = {
    "_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_schedule": "linear",
    "beta_start": 0.0001, "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None,
    "variance_type": "fixed_large",
}  # fmt: skip
DDPM_PIPELINE = {
    "_class_name": "DDPMPipeline", "_diffusers_version": "0.1.1", "scheduler": ["diffusers", "DDPMScheduler"],
    "unet": ["diffusers", "UNet2DModel"],
}  # fmt: skip
EARLY_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
GPT2 = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
    "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 1024,
    "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
    "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 50257,
}  # fmt: skip


def write(folder, **files):
    for name, table in files.items():
        (folder / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")


def seeded(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


@pytest.fixture(scope="module")
def ddpm(tmp_path_factory):
    """Names of attention are those of the diffusers that wrote the hub's file."""
    from diffusers import UNet2DModel

    folder, tensors = tmp_path_factory.mktemp("ddpm-cifar10-32"), {}
    for name, tensor in seeded(lambda: UNet2DModel.from_config(DDPM)).state_dict().items():
        early = name
        for new, old in EARLY_NAMES.items() if ".attentions." in name else ():
            early = early.replace(f".{new}.", f".{old}.")
        tensors[early] = tensor
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    write(folder, config=DDPM, scheduler_config=DDPM_SCHEDULE, model_index=DDPM_PIPELINE)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """The file has no prefix before names, masks of attention, and no head; tokens are bytes and their pairs."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("gpt2")
    model = seeded(lambda: GPT2LMHeadModel(GPT2Config(**GPT2)))
    tensors = {name: tensor.contiguous() for name, tensor in model.transformer.state_dict().items()}
    tensors |= {f"h.{i}.attn.bias": torch.ones(1024, 1024).tril().view(1, 1, 1024, 1024) for i in range(2)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    letters = sorted(ByteLevel.alphabet())
    pairs = [(one, other) for one in letters for other in letters][:50_000]
    vocabulary = {text: i for i, text in enumerate([*letters, *map("".join, pairs), "<|endoftext|>"])}
    merges = [" ".join(pair) for pair in pairs]
    end = {"id": 50256, "special": True, "content": "<|endoftext|>", "single_word": False, "lstrip": False,
           "rstrip": False, "normalized": True}  # fmt: skip
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    model = {"dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
             "fuse_unk": False, "vocab": vocabulary, "merges": merges}  # fmt: skip
    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None,
                 "pre_tokenizer": level, "post_processor": level, "decoder": level, "model": model}  # fmt: skip
    write(folder, config=GPT2, tokenizer=tokenizer, vocab=vocabulary, tokenizer_config={"model_max_length": 1024},
          generation_config={"bos_token_id": 50256, "eos_token_id": 50256})  # fmt: skip
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    return folder


def table_of(root, suite, folder, **changed):
    """Rows of two rounds of two clients, each of which takes two steps."""
    sizes = {
        "task.params.backbone": folder, "federation.rounds": 2, "federation.clients_per_round": 2,
        "training.local_steps": 2, "training.batch_size": 2, "evaluation.personalized_clients": 1,
        "evaluation.personalized_steps": 1, **changed,
    }  # fmt: skip
    settings = [part for path, value in sizes.items() for part in ("--set", f"{path}={value}")]
    done = commands.here(root, "run", "--suite", suite, "--seed", "1", "--jobs", "1", "--device", "cpu", *settings)
    assert done.returncode == 0, done.stderr
    text = (root / "leaderboards" / suite / "table.csv").read_text(encoding="utf-8")
    return {row["contender"].partition(" ")[0]: row for row in csv.DictReader(io.StringIO(text))}


def assert_trained(rows, n_contenders):
    assert len(rows) == n_contenders
    assert {row["status"] for row in rows.values()} == {"off-suite"}
    frozen = float(rows["frozen"]["quality_mean"])
    for name in ("fedgen_edge", "fedavg_full", "fedprox_full", "centralized_lora", "centralized_full"):
        assert float(rows[name]["quality_mean"]) != frozen, name


def test_ptb_gpt2_runs_on_a_folder_as_the_hub_s(tmp_path, gpt2):
    rows = table_of(
        tmp_path, "ptb-gpt2", gpt2, **{
            "task.params.dataset": "tiny-wire", "task.params.block_tokens": 16, "task.params.context_tokens": 64,
            "task.params.stride_tokens": 64, "task.params.valid_subset_lines": 2, "task.params.final_lines": 2,
        },
    )  # fmt: skip
    assert_trained(rows, 9)


def test_cifar10_ddpm_runs_on_a_folder_as_the_hub_s(tmp_path, ddpm):
    rows = table_of(
        tmp_path, "cifar10-ddpm", ddpm, **{
            "task.params.dataset": "tiny-shapes", "task.params.n_samples": 4, "task.params.n_valid_samples": 4,
            "task.params.n_reference": 20, "task.params.n_scored": 4, "task.params.n_subset": 4,
            "task.params.sampler_steps": 2,
        },
    )  # fmt: skip
    assert_trained(rows, 7)
