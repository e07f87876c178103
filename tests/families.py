"""Tiny random language models of many families, made from configurations alone, in a few milliseconds each."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from fedgen_bench_plugins.backbones import grounds

from fedgen_bench import Ground

VOCABULARY = 64
N_POSITIONS = 64
_TOKENS: dict[str, Any] = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
_LLAMA = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": N_POSITIONS,
}  # fmt: skip
_HEADS = {**_LLAMA, "head_dim": 8}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": N_POSITIONS}
_FALCON = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": N_POSITIONS,
}
_OPT = {**_FALCON, "ffn_dim": 48, "word_embed_proj_dim": 16}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "GPT-2": ("gpt2", _GPT2),
    "GPT-Neo": (
        "gpt_neo",
        {
            "hidden_size": 32, "num_layers": 2, "num_heads": 4, "attention_types": [[["global", "local"], 1]],
            "max_position_embeddings": N_POSITIONS,
        },
    ),
    "GPT-J": ("gptj", {**_GPT2, "rotary_dim": 4}),
    "GPT-NeoX, Pythia": ("gpt_neox", {**_FALCON, "intermediate_size": 48}),
    "GPTBigCode": ("gpt_bigcode", _GPT2),
    "CodeGen": ("codegen", {**_GPT2, "rotary_dim": 4}),
    "OPT": ("opt", _OPT),
    "Bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "Falcon": ("falcon", _FALCON),
    "MPT": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": N_POSITIONS}),
    "Llama": ("llama", _LLAMA),
    "SmolLM2, Llama with a tied head": ("llama", {**_LLAMA, "tie_word_embeddings": True}),
    "Mistral": ("mistral", _LLAMA),
    "Mixtral": ("mixtral", {**_LLAMA, "num_local_experts": 2}),
    "Qwen2": ("qwen2", {**_LLAMA, "tie_word_embeddings": True}),
    "Qwen2 MoE": (
        "qwen2_moe",
        {**_LLAMA, "num_experts": 4, "moe_intermediate_size": 16, "shared_expert_intermediate_size": 24},
    ),
    "Qwen3": ("qwen3", _HEADS),
    "Gemma": ("gemma", _HEADS),
    "Gemma 2": ("gemma2", _HEADS),
    "Gemma 3": ("gemma3_text", _HEADS),
    "Phi": ("phi", _LLAMA),
    "Phi-3": ("phi3", _LLAMA),
    "StableLM": ("stablelm", _LLAMA),
    "StarCoder2": ("starcoder2", _LLAMA),
    "OLMo 2": ("olmo2", _LLAMA),
    "Cohere": ("cohere", _LLAMA),
    "Granite": ("granite", _LLAMA),
    "Mamba": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2}),
}  # fmt: skip


def tiny(family: str, **others: Any) -> torch.nn.Module:
    """A family's model in evaluation mode, always the same; `others` go over its configuration."""
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, sizes = FAMILIES[family]
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.manual_seed(3)
        config = AutoConfig.for_model(kind, **_TOKENS | sizes | others)
        model: torch.nn.Module = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    return model


def _unknown() -> torch.nn.Module:
    raise NotImplementedError("Each family has its own.")


GROUND = Ground(
    load=_unknown,
    inputs=lambda: {"tokens": torch.randint(VOCABULARY, (3, 8), generator=torch.Generator().manual_seed(4))},
    outputs=grounds.LANGUAGE_MODEL.outputs,
    loss=grounds.LANGUAGE_MODEL.loss,
)
