"""FedLab: StandalonePipeline with its serial trainer; one process, two threads.

FedLab sends whatever `parameters()` of its model gives, so it is shown what is trained alone.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from fedlab.contrib.algorithm.fedavg import FedAvgSerialClientTrainer, FedAvgServerHandler
from fedlab.core.standalone import StandalonePipeline
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from work import Marks, Work, load_work


class Trained(nn.Module):
    """What travels of a work; the work is beside it, in a tuple that hides it from `parameters()`."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.values = nn.ParameterList(work.trainable.values())
        self.beside = (work,)


class Data:
    """A client's examples as FedLab's data sets give them."""

    def __init__(self, clients: list[torch.Tensor]) -> None:
        self._clients = clients

    def get_dataloader(self, client: int, batch_size: int) -> Any:
        return DataLoader(TensorDataset(self._clients[client]), batch_size=batch_size)


class Trainer(FedAvgSerialClientTrainer):
    """FedLab's loop with the work's loss and optimizer."""

    def train(self, model_parameters, train_loader):
        self.set_model(model_parameters)
        (work,) = self._model.beside
        work.module.train()
        optimizer = work.new_optimizer(self._model.parameters(), work.learning_rate)
        for (examples,) in train_loader:
            work.loss(examples).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return [self.model_parameters]


class Pipeline(StandalonePipeline):
    """Marks the end of a round where FedLab evaluates."""

    def evaluate(self) -> None:
        marks.add()


marks = Marks()
torch.set_num_threads(2)
work = load_work(marks.folder)
model = Trained(work)
handler = FedAvgServerHandler(model, global_round=marks.n_rounds, sample_ratio=1.0)
trainer = Trainer(model, len(work.clients))
trainer.setup_dataset(Data(work.clients))
trainer.setup_optim(1, work.batch, work.learning_rate)
logging.getLogger().setLevel(logging.WARNING)
Pipeline(handler, trainer).main()
marks.tell()
