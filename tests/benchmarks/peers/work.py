"""The work that every runner does, read from a folder: a model, what of it is trained, ten clients' data, and the loop.

Knows torch, transformers and peft, and neither the harness nor a peer.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn


@dataclass
class Work:
    """A model on this machine with one adapter, and the clients' data.

    Args:
        module: the whole model.
        trainable: what is trained and travels, by name.
        clients: each client's examples; one epoch in their order is its local training.
        optimizer: `adamw` or `sgd`.
    """

    module: Any
    trainable: dict[str, nn.Parameter]
    clients: list[torch.Tensor]
    batch: int
    learning_rate: float
    optimizer: str

    def loss(self, examples: torch.Tensor) -> torch.Tensor:
        """Next-token loss of blocks, or the one that only a bias bears on."""
        if self.optimizer == "sgd":
            return 0.5 * (self.module.bias - examples).square().mean()
        logits = self.module(input_ids=examples[:, :-1]).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1), examples[:, 1:].flatten())

    def new_optimizer(self, parameters: Any, lr: float) -> torch.optim.Optimizer:
        """Stateless SGD, or AdamW."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=lr)
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0, fused=True)

    @torch.no_grad()
    def put(self, tensors: dict[str, torch.Tensor]) -> None:
        """Copy tensors in."""
        for name, parameter in self.trainable.items():
            parameter.copy_(tensors[name])

    def taken(self) -> dict[str, torch.Tensor]:
        """Copies of what is trained."""
        return {name: parameter.detach().clone() for name, parameter in self.trainable.items()}

    def train(self, client: int) -> None:
        """One client's local training, as anybody would write it."""
        parameters = list(self.trainable.values())
        self.module.train()
        optimizer = self.new_optimizer(parameters, self.learning_rate)
        for examples in self.clients[client].split(self.batch):
            self.loss(examples).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def load_work(folder: str) -> Work:
    """The work of a folder that `compare.py` wrote."""
    where = Path(folder)
    told = json.loads((where / "work.json").read_text())
    clients = load_file(where / "clients.safetensors")
    data = [clients[str(i)] for i in range(len(clients))]
    if told["kind"] == "still":
        module: Any = nn.Module()
        for name, tensor in load_file(where / "model.safetensors").items():
            module.register_parameter(name, nn.Parameter(tensor))
        return Work(module, dict(module.named_parameters()), data, told["batch"], told["learning_rate"], "sgd")
    return Work(*_with_lora(where / "model"), data, told["batch"], told["learning_rate"], "adamw")


def _with_lora(folder: Path) -> tuple[Any, dict[str, nn.Parameter]]:
    """GPT-2 with LoRA of rank 8 on its attention, through peft."""
    from peft import LoraConfig, get_peft_model
    from transformers import GPT2LMHeadModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GPT2LMHeadModel.from_pretrained(folder)
        config = LoraConfig(r=8, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True, task_type="CAUSAL_LM")
        module = get_peft_model(model, config)
    return module, {name: one for name, one in module.named_parameters() if one.requires_grad}


class Marks:
    """When each round ended, in seconds after this process began (proc_pid_stat(5)), told as JSON on the last line.

    A runner is called as `RUNNER.py FOLDER ROUNDS`; it trains that many rounds and ends.
    """

    def __init__(self) -> None:
        self.folder, self.n_rounds = sys.argv[1], int(sys.argv[2])
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
        self._began, self._times = time.time() - age, []

    @property
    def done(self) -> bool:
        """Whether all rounds have ended."""
        return len(self._times) >= self.n_rounds

    def add(self) -> None:
        """A round has ended."""
        self._times.append(time.time() - self._began)

    def tell(self) -> None:
        """Print when, and leave at once: what a runner does after its last round is not compared."""
        print(json.dumps({"marks": self._times}), flush=True)
        os._exit(0)
