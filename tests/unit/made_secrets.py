"""A plugin: the toy task with a point far off at two clients, of which a model tells the more the further off it is."""

import copy
from dataclasses import dataclass

import numpy as np
import torch

from fedgen_bench import ClientData, DataError, Examples, Exposure, Holdings, Secrets, TaskSpec, hookimpl
from fedgen_bench.testing import toy

FAR, N_SECRETS = 9.0, 2
SUITE = toy.SUITE.replace('[task]\nname = "toy"', '[task]\nname = "toy_secrets"')
OWN = """
[personalization]
clients = 1
steps = 2
"""


def text_of(*, personalization=True):
    """The toy suite on this task."""
    text = SUITE
    for line in ("personalized_clients = 2\n", "personalized_steps = 1\n") if personalization else ():
        text = text.replace(line, "")
    return text + (OWN if personalization else "")


class LoadedToySecrets(toy.LoadedToy):
    secrets = None
    marked = frozenset()

    def planted(self, parts, cohorts, seeds):
        asked = sorted({i for cohort in cohorts for i in cohort})
        if len(asked) < N_SECRETS:
            raise DataError("Too few clients.")
        owners = sorted(seeds.numpy("secrets").choice(asked, N_SECRETS, replace=False).tolist())
        sown = copy.copy(self)
        sown.secrets, sown.marked = Secrets(tuple(owners), 63, 20.0), frozenset(int(parts[i][0]) for i in owners)
        return sown

    def client_data(self, units):
        data, more = super().client_data(units), sum(int(unit) in self.marked for unit in units[:1])
        far = torch.full((more, toy.WIDTH), FAR)
        return ClientData(Examples({"x": torch.cat([data.train.tensors["x"], far])}, data.train.n + more), data.heldout)

    def holdings(self, parts):
        held = super().holdings(parts)
        more = np.array([sum(int(unit) in self.marked for unit in part[:1]) for part in parts])
        return Holdings(held.n_train + more, held.has_heldout)

    def exposures(self, module, numbers):
        far = float(module.weight.detach().cpu().sum().clamp(min=0, max=6))
        bits = [far if number < N_SECRETS else 0.0 for number in numbers]
        return [Exposure(far, far / 2, extracted=far > 1 and i == 0) for i, far in zip(numbers, bits, strict=True)]


@dataclass(frozen=True)
class ToySecrets(toy.Toy):
    def load(self, find):  # noqa: ARG002 - as every task
        return LoadedToySecrets(self.params)


@hookimpl
def register_tasks():
    return [TaskSpec(name="toy_secrets", summary="Toy with secrets.", build=ToySecrets, params=toy.Params)]
