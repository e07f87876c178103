"""Peak memory of a fit by how the backbone is held: `python tests/benchmarks/loading_memory.py`, on Linux.

The model is a Llama of 100 million parameters with random weights; one step of LoRA (rank 8, queries and values),
AdamW, a batch of 2 x 256 tokens. What Python and the libraries hold before is not counted.
"""

from __future__ import annotations

import gc
import tempfile
import time
from pathlib import Path

import torch
from fedgen_bench_plugins.adapters import lora
from fedgen_bench_plugins.backbones.loading import load_backbone
from fedgen_bench_plugins.backbones.options import Loading
from fedgen_bench_plugins.backbones.shipped import locate
from memory import status
from torch.nn.functional import cross_entropy
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from fedgen_bench import Examples, Fit, SeedTree, private_copy
from fedgen_bench.contract.storage import train_in_fp32
from fedgen_bench.federation.batches import FitStreams
from fedgen_bench.federation.footprint import footprint
from fedgen_bench.federation.trainer import TrainingPlan, fit

BATCH, LENGTH, VOCABULARY = 2, 256, 20_480
WAYS = {
    "fp32": Loading(),
    "bf16": Loading(dtype="bf16"),
    "fp32, checkpointed": Loading(gradient_checkpointing=True),
    "bf16, checkpointed": Loading(dtype="bf16", gradient_checkpointing=True),
}
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)


def make(folder: Path) -> None:
    """12 layers of 768, tied head."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=768, intermediate_size=2048, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=12, tie_word_embeddings=True, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(locate("tiny-wire-lm")).save_pretrained(folder)


class NextToken:
    """The loss of language modelling."""

    def loss(self, module, batch, _generator):
        logits = module(input_ids=batch["blocks"][:, :-1]).logits.flatten(0, 1).float()
        return cross_entropy(logits, batch["blocks"][:, 1:].flatten())


def measure(backbone: str, loading: Loading) -> tuple[int, int, float]:
    """Peak in bytes of a fit above what was there before the model was loaded, the footprint, and seconds."""
    before = status("VmRSS")
    module = private_copy(load_backbone(backbone, loading=loading).module)
    targets = ("q_proj", "v_proj") if "q_proj" in str(module) else ("c_attn",)
    adapted = lora.LoRA(lora.Params(targets=targets)).attach(module, SEEDS)
    train_in_fp32(adapted.module, adapted.trainable.values())
    blocks = torch.randint(100, (BATCH, LENGTH + 1 if "q_proj" in targets else 8))
    plan = TrainingPlan(optimizer="adamw", learning_rate=1e-3, batch_size=BATCH)
    start = {name: one.detach().clone() for name, one in adapted.trainable.items()}
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    begin = time.perf_counter()
    fit(adapted, NextToken(), Examples({"blocks": blocks}, BATCH), Fit(start), plan, FitStreams(SEEDS, 0, 0), 1)
    seconds, peak = time.perf_counter() - begin, status("VmHWM") - before
    return peak, footprint(adapted, NextToken(), {"blocks": blocks[:1]}, plan, BATCH).on("cpu"), seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    measure("tiny-wire-lm", Loading())  # loads all libraries
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        gc.collect()
        p = (Path(folder) / "model.safetensors").stat().st_size
        print(f"P, the fp32 model, is {p / 1e9:.2f} GB")
        for name, loading in WAYS.items():
            peak, told, seconds = measure(folder, loading)
            gc.collect()
            print(f"{name}: peak {peak / 1e9:.2f} GB, footprint {told / 1e9:.2f} GB, {seconds:.1f} s", flush=True)
