"""pfl-research (package `pfl`): FederatedAveraging on its SimulatedBackend; one process, two threads."""

from __future__ import annotations

import torch
from pfl.aggregate.simulate import SimulatedBackend
from pfl.algorithm.base import NNAlgorithmParams
from pfl.algorithm.federated_averaging import FederatedAveraging
from pfl.callback.base import TrainingProcessCallback
from pfl.data.dataset import Dataset
from pfl.data.federated_dataset import FederatedDataset
from pfl.data.sampling import get_user_sampler
from pfl.hyperparam import NNEvalHyperParams, NNTrainHyperParams
from pfl.metrics import Metrics, Weighted
from pfl.model.pytorch import PyTorchModel
from work import Marks, load_work


class Model(torch.nn.Module):
    """What pfl asks of a model."""

    def __init__(self, work) -> None:
        super().__init__()
        self.inner, self._loss = work.module, work.loss

    def loss(self, examples, eval=False):  # noqa: A002 - pfl's name
        if self.training is eval:
            self.train(not eval)
        return self._loss(examples)

    def metrics(self, examples, eval=False):  # noqa: A002, ARG002 - pfl's names
        return {"seen": Weighted(0, len(examples))}


class Round(TrainingProcessCallback):
    """Marks the end of a round."""

    def after_central_iteration(self, aggregate_metrics, model, *, central_iteration):  # noqa: ARG002 - pfl's names
        marks.add()
        if marks.done:
            marks.tell()
        return False, Metrics()


marks = Marks()
torch.set_num_threads(2)
work = load_work(marks.folder)
n = len(work.clients)
trained = [one for one in work.module.parameters() if one.requires_grad]
model = PyTorchModel(
    Model(work),
    lambda parameters, lr: work.new_optimizer([one for one in parameters if one.requires_grad], lr),
    torch.optim.SGD(trained, lr=1.0),
)
sampler = get_user_sampler("minimize_reuse", list(range(n)))
data = FederatedDataset(lambda user: Dataset(raw_data=[work.clients[user]], user_id=str(user)), sampler)
FederatedAveraging().run(
    algorithm_params=NNAlgorithmParams(
        central_num_iterations=marks.n_rounds + 1,
        evaluation_frequency=10**9,
        train_cohort_size=n,
        val_cohort_size=0,
    ),
    backend=SimulatedBackend(training_data=data, val_data=data),
    model=model,
    model_train_params=NNTrainHyperParams(
        local_num_epochs=1, local_learning_rate=work.learning_rate, local_batch_size=work.batch
    ),
    model_eval_params=NNEvalHyperParams(local_batch_size=work.batch),
    callbacks=[Round()],
    send_metrics_to_platform=False,
)
