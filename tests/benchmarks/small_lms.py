"""Training of two small GPT-2 with LoRA, as a suite of the harness and as a folder that any runner can read.

Ten clients hold equally many whole blocks of tokens, one epoch of local training takes each of them once. This module
is a plugin: task `blocks` and suite `small-lms`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fedgen_bench_plugins.backbones.loading import load_backbone
from fedgen_bench_plugins.tasks import language_modeling
from fedgen_bench_plugins.tasks.text_corpora import CORPORA
from safetensors.torch import save_file

from fedgen_bench import ClientData, Examples, Holdings, Parts, SuiteSource, TaskSpec, UnitTable, hookimpl
from fedgen_bench.registry.datasets import finder
from fedgen_bench.registry.plugins import load_registry

COHORT = 10


@dataclass(frozen=True)
class Size:
    """A shipped GPT-2, and one client's local work: `steps` batches of `batch` blocks of `block` tokens."""

    backbone: str
    batch: int
    block: int
    steps: int

    @property
    def overrides(self) -> list[str]:
        """What the suite has to be told."""
        windows = (f"task.params.{name}={self.block}" for name in ("block_tokens", "context_tokens", "stride_tokens"))
        return [
            f'task.params.backbone="{self.backbone}"',
            *windows,
            f"task.params.blocks_per_client={self.steps * self.batch}",
            f"training.batch_size={self.batch}",
            f"training.local_steps={self.steps}",
        ]


SIZES = {"4 x 256": Size("mini-lm", 16, 64, 2), "2 x 64": Size("tiny-wire-lm", 4, 32, 8)}


@dataclass(frozen=True)
class Params(language_modeling.Params):
    """Those of `language_modeling`, and how many blocks every client has."""

    dataset: Any = "tiny-wire"
    backbone: str = "tiny-wire-lm"
    blocks_per_client: int = 8


class Blocks(language_modeling.LanguageModeling):
    """What `build` returns."""

    params: Params

    def load(self, find: Callable[[str], Path]) -> LoadedBlocks:
        corpus = CORPORA[self.params.dataset].read(find, self.params.source)
        return LoadedBlocks(self.params, corpus, load_backbone(self.params.backbone))


class LoadedBlocks(language_modeling.LoadedLanguageModeling):
    """The language modelling task on whole blocks: a text that is too short begins again, few lines are scored."""

    def units(self, seeds):  # noqa: ARG002 - the protocol's signature
        return UnitTable(COHORT * self.params.blocks_per_client, {})

    def client_data(self, units: np.ndarray) -> ClientData:
        stream = np.array([token for unit in self._train_tokens for token in unit])
        places = units[:, None] * self.params.block_tokens + np.arange(self.params.block_tokens + 1)
        return ClientData(Examples({"blocks": torch.from_numpy(stream[places % len(stream)])}, len(units)), None)

    def holdings(self, parts: Parts) -> Holdings:
        return Holdings(parts.sizes, np.zeros(len(parts.sizes), dtype=bool))

    def split(self, name):  # noqa: ARG002 - the protocol's signature
        return super().split("valid_subset")


SUITE = f"""
[suite]
name = "small-lms"
version = 1
title = "Small GPT-2, ten clients"
reference = "lora"
full_model = "full"
[task]
name = "blocks"
[task.params]
valid_subset_lines = 8
[partitioner]
name = "contiguous"
[federation]
n_clients = {COHORT}
clients_per_round = {COHORT}
rounds = 2
[training]
local_steps = 1
batch_size = 1
[evaluation]
metric = "perplexity_per_word"
target = 1.0
every = 100000
[seeds]
leaderboard = [1]
tuning = 2
[[contender]]
name = "lora"
strategy = {{ name = "fedavg" }}
adapter = {{ name = "lora", params = {{ rank = 8, alpha = 16.0, targets = ["c_attn"] }} }}
learning_rate = 0.001
[[contender]]
name = "full"
strategy = {{ name = "fedavg" }}
adapter = {{ name = "full" }}
learning_rate = 0.001
"""


@hookimpl
def register_tasks():
    return [TaskSpec(name="blocks", summary="Whole blocks of tokens.", build=Blocks, params=Params)]


@hookimpl
def register_suites():
    return [SuiteSource(name="small-lms", text=SUITE, path="small-lms.toml")]


def export(size: Size, folder: Path) -> None:
    """Write what a runner without the harness needs: the model as the hub has it, the clients' blocks, the numbers."""
    params = Params(backbone=size.backbone, block_tokens=size.block, blocks_per_client=size.steps * size.batch)
    task = Blocks(params).load(finder(load_registry([__file__], environ={})))
    task.backbone.module.save_pretrained(folder / "model")
    everyone = np.arange(COHORT * params.blocks_per_client)
    clients = [task.client_data(units).train.tensors["blocks"] for units in np.array_split(everyone, COHORT)]
    save_file({str(i): blocks.contiguous() for i, blocks in enumerate(clients)}, folder / "clients.safetensors")
    (folder / "work.json").write_text(json.dumps({"kind": "lm", "learning_rate": 1e-3, **asdict(size)}))
