"""Layers by what they are for, whatever an architecture calls them: `attention`, `mlp`, `head`, `all` and their parts.

A role is resolved from the backbone's own structure, so that no architecture needs an entry anywhere:

- Attention is every linear layer inside a module whose class or name ends in attention. Which of them computes queries,
  keys or values, its name tells (`q_proj`, `to_k`, `Wqkv`, `query_key_value`); one that computes all three counts as
  each of them.
- The MLP is every linear layer inside a module whose class or name says MLP or feed-forward. A block with attention
  and no such module has its MLP in what stands beside the attention (OPT's `fc1` and `fc2`). The last layer of each is
  its output. A layer that stands alone, as a router to experts does, is no MLP.
- The head is what the model gives as its output embeddings.
- `all` is every linear layer but the head; layers that are for something else (a U-Net's time embedding) count here
  alone.

Roles become the full names that layers have in the backbone's own files. Those are a format: they are the same in every
version of transformers, diffusers and peft that reads these files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

ROLES = {
    "all": "every linear layer but the head",
    "attention": "all linear layers of attention",
    "queries": "what computes attention's queries",
    "keys": "what computes its keys",
    "values": "what computes its values",
    "mlp": "all linear layers of the MLPs, those of experts too",
    "mlp_output": "the last layer of every MLP",
    "head": "the output head of a language model",
}

_ATTENTION = re.compile(r"attention$|attn\d*$", re.IGNORECASE)
_ATTENTION_CLASS = re.compile(r"attention\d*$", re.IGNORECASE)
_MLP = re.compile(r"mlp$|ffn$|^ff$|feed_?forward$|moe$|experts?$", re.IGNORECASE)
_MLP_CLASS = re.compile(r"(mlp|ffn|feed_?forward)$", re.IGNORECASE)
_SAID = {"queries": ("query", "q"), "keys": ("key", "k"), "values": ("value", "v")}
_QKV = re.compile("w?q?k?v?z?")
_FUSED = "c_attn"  # GPT-2's name says neither queries, keys nor values


def is_linear(module: nn.Module) -> bool:
    """Whether a module computes W x + b: torch's `Linear`, or `Conv1D` as GPT-2 has it."""
    from torch import nn

    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def layers_of(module: nn.Module, role: str) -> list[str]:
    """Full names of the layers that a role means in a backbone, in the backbone's order; none where it has none."""
    head = _head(module)
    if role == "head":
        return [head] if head else []
    linear = [name for name, layer in module.named_modules() if is_linear(layer) and name != head]
    if role == "all":
        return linear
    modules = dict(module.named_modules())
    if role in {"mlp", "mlp_output"}:
        mlps = _mlps(modules, linear)
        layers = {name for mlp in mlps for name in (mlp if role == "mlp" else mlp[-1:])}
        return [name for name in linear if name in layers]
    attention = [name for name in linear if _within_attention(modules, name)]
    return attention if role == "attention" else [name for name in attention if _computes(name, role)]


def _head(module: nn.Module) -> str:
    """Name of the output head; empty without one."""
    get = getattr(module, "get_output_embeddings", None)
    head = None if get is None else get()
    return next((name for name, layer in module.named_modules() if layer is head), "")


def _above(name: str) -> list[str]:
    """Names of the modules that a module is in, innermost first; the whole backbone, which is called nothing, last."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, -1, -1)]


def _last(name: str) -> str:
    """The last part of a name that is no number: `experts` of `mlp.experts.0`."""
    return next((part for part in reversed(name.split(".")) if not part.isdigit()), "")


def _is_attention(name: str, module: nn.Module) -> bool:
    return bool(name) and bool(_ATTENTION.search(_last(name)) or _ATTENTION_CLASS.search(type(module).__name__))


def _is_mlp(name: str, module: nn.Module) -> bool:
    return bool(name) and bool(_MLP.search(_last(name)) or _MLP_CLASS.search(type(module).__name__))


def _within_attention(modules: dict[str, nn.Module], layer: str) -> bool:
    return any(_is_attention(name, modules[name]) for name in _above(layer))


def _computes(layer: str, role: str) -> bool:
    """Whether a layer's name says that it computes what a role is about: by a word (`key`) or an initial (`Wqkv`)."""
    word, initial = _SAID[role]
    words = re.split(r"[^a-z]+", _last(layer).lower())
    return _last(layer) == _FUSED or any(said == word or (_QKV.fullmatch(said) and initial in said) for said in words)


def _mlps(modules: dict[str, nn.Module], linear: list[str]) -> list[list[str]]:
    """The layers of every MLP, each in the backbone's order."""
    mlps: dict[str, list[str]] = {}
    for layer in linear:
        above = _above(layer)
        if _within_attention(modules, layer):
            continue
        mlp = next((name for name in above if _is_mlp(name, modules[name]) or _has_mlp_beside(modules[name])), None)
        if mlp is not None:
            mlps.setdefault(mlp, []).append(layer)
    return [layers for layers in mlps.values() if len(layers) > 1]


def _has_mlp_beside(module: nn.Module) -> bool:
    """Whether a module is a block with attention among its parts and none that is an MLP."""
    parts = list(module.named_children())
    return any(_is_attention(*part) for part in parts) and not any(_is_mlp(*part) for part in parts)
