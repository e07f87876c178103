"""What every task must hold, and every metric that reads a task's evidence."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.guards import guarded
from fedgen_bench.contract import protocols
from fedgen_bench.contract.data import Parts
from fedgen_bench.contract.protocols import PNG_SIGNATURE, Counting, Declaring, Fusing, MicroBatching
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.contract.specs import TaskSpec
from fedgen_bench.testing.bits import fingerprint
from fedgen_bench.testing.exports import check_export
from fedgen_bench.testing.locations import at, line_of
from fedgen_bench.testing.structure import assert_has, assert_tensors, described

if TYPE_CHECKING:
    import torch
    from torch import nn

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.datasets import Find
    from fedgen_bench.contract.protocols import Task

Check = Callable[["Task"], None]
SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 11)
SPLITS = ("valid_subset", "valid", "test")


def loaded(spec: TaskSpec, params: Any, find: Find) -> Task:
    """The task in memory, with all that a task needs. Raises DataError when its data are not there."""
    with guarded(f"task {spec.name}.build"):
        factory = spec.build(params)
    assert_has(factory, protocols.TaskFactory, spec.build)
    with at(factory.load):
        task: Task = factory.load(find)
    assert_has(task, protocols.Task, factory.load)
    return task


def check_rehearsal(task: Task) -> None:
    """It has its methods and attributes, gives examples, and its loss of a batch is a number that has a gradient."""
    import torch

    with at(task.client_data):
        batch = _batch(task)
        assert_tensors(batch, "client_data: `train.tensors`", partial(line_of, task.client_data))
    with at(task.new_module):
        module = task.new_module()
        assert isinstance(module, torch.nn.Module), f"new_module returned {described(module)}"
    with at(task.loss), guarded("loss"):
        loss = task.loss(module, batch, torch.Generator().manual_seed(3))
        assert isinstance(loss, torch.Tensor), f"loss returned {described(loss)}. Return a tensor without dimensions."
        assert loss.shape == (), f"the loss of a batch has shape {tuple(loss.shape)}. Return its mean."
        assert loss.requires_grad, "the loss has no gradient"
        assert math.isfinite(float(loss.detach())), "the loss of the untrained backbone is not finite"


def check_units(task: Task) -> None:
    """There are units, each column has one integer code a unit, and they are the same every time."""
    import numpy as np

    units = task.units(SEEDS)
    assert units.n_units > 0
    for name in (*units.columns, *units.on_demand):
        codes = units.column(name)
        assert codes.shape == (units.n_units,), f"column {name}: {codes.shape}"
        assert np.issubdtype(codes.dtype, np.integer), f"column {name} does not hold integers"
        assert np.array_equal(codes, task.units(SEEDS).column(name)), f"column {name} differs the second time"


def check_client_data(task: Task) -> None:
    """The same units give the same examples; `n` is the first dimension of every tensor; no units give no examples."""
    import numpy as np

    units = np.arange(min(10, task.units(SEEDS).n_units))
    with guarded("client_data"):
        first = task.client_data(units)
    assert fingerprint(first) == fingerprint(task.client_data(units)), "two equal calls differ"
    assert first.train.n > 0
    assert all(len(tensor) == first.train.n for tensor in first.train.tensors.values()), "n is not the first dimension"
    empty = task.client_data(units[:0])
    assert empty.train.n == 0
    assert empty.heldout is None, "a client without units has something held out"
    assert empty.train.tensors.keys() == first.train.tensors.keys(), "batch keys depend on the client"


def check_holdings(task: Task) -> None:
    """Where the task counts what clients hold, the count is what `client_data` gives."""
    import numpy as np

    if not isinstance(task, Counting):
        return
    n_units = min(60, task.units(SEEDS).n_units)
    parts = Parts.by_owner(np.arange(n_units) ** 2 % 17 - 1, 17)
    with guarded("holdings"):
        counted = task.holdings(parts)
    for client_id, part in enumerate(parts):
        data = task.client_data(part.copy())
        assert counted.n_train[client_id] == data.train.n, (
            f"`n_train` of units {part.tolist()}, which give {data.train.n}"
        )
        held = data.heldout is not None
        assert bool(counted.has_heldout[client_id]) is held, f"`has_heldout` of units {part.tolist()}, which is {held}"


def check_new_module(task: Task) -> None:
    """Every module is a private copy in evaluation mode on the CPU, of the stated size."""
    import torch

    first = task.new_module()
    values = [parameter.detach().clone() for parameter in first.parameters()]
    assert sum(value.numel() for value in values) == task.backbone_parameters
    assert not first.training
    assert all(parameter.device.type == "cpu" for parameter in first.parameters())
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1.0)
    second = [parameter.detach() for parameter in task.new_module().parameters()]
    assert all(torch.equal(a, b) for a, b in zip(values, second, strict=True)), "two modules share memory"


def _batch(task: Task) -> dict[str, torch.Tensor]:
    import numpy as np

    train = task.client_data(np.arange(min(10, task.units(SEEDS).n_units))).train
    return {name: tensor[: min(4, train.n)] for name, tensor in train.tensors.items()}


def check_loss(task: Task) -> None:
    """The loss is a finite scalar with a gradient, and the generator alone decides its noise."""
    import torch

    module, batch = task.new_module(), _batch(task)
    before = fingerprint(batch)
    with guarded("loss"):
        losses = [task.loss(module, batch, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert losses[0].shape == ()
    assert math.isfinite(float(losses[0].detach()))
    assert torch.equal(losses[0], losses[1]), "two equal calls differ"
    losses[0].backward()
    assert any(parameter.grad is not None for parameter in module.parameters()), "nothing gets a gradient"
    assert fingerprint(batch) == before, "the batch was changed"


def check_losses(task: Task) -> None:
    """Where a task takes several batches in one pass, each has the loss that it has alone, within rounding."""
    import torch

    if not isinstance(task, Fusing):
        return
    module, batch = task.new_module(), _batch(task)
    batches = [batch, {name: tensor[1:] for name, tensor in batch.items()}]
    batches = batches if all(map(len, batches[1].values())) else batches[:1]
    seeds = range(len(batches))
    with guarded("losses"):
        together = list(task.losses(module, batches, [torch.Generator().manual_seed(seed) for seed in seeds]))
    assert len(together) == len(batches), f"losses gave {len(together)} losses for {len(batches)} batches"
    for one, seed, loss in zip(batches, seeds, together, strict=True):
        alone = float(task.loss(module, one, torch.Generator().manual_seed(seed)).detach())
        assert loss.shape == (), "losses gives no scalars"
        assert math.isclose(float(loss.detach()), alone, rel_tol=1e-4), (
            "a loss is another one than that of the batch alone"
        )


def check_micro_batches(task: Task) -> None:
    """Where a task takes a batch in parts, their shares of the loss add up to that of the whole, with its draws."""
    import torch

    if not isinstance(task, MicroBatching):
        return
    module, batch = task.new_module(), _batch(task)
    n, noise = len(next(iter(batch.values()))), torch.Generator().manual_seed(3)
    with guarded("micro_batches"):
        parts = list(task.micro_batches(batch, 1, noise))
        drawn = noise.get_state()
        total = sum(float((task.loss(module, one.tensors, noise) * one.share).detach()) for one in parts)
    assert len(parts) == n, f"micro_batches gave {len(parts)} parts of one example for a batch of {n}"
    assert torch.equal(noise.get_state(), drawn), "the loss of a micro-batch draws from the generator"
    assert math.isclose(sum(float(one.share) for one in parts), 1.0, rel_tol=1e-5), "shares do not add up to 1"
    whole = float(task.loss(module, batch, torch.Generator().manual_seed(3)).detach())
    assert math.isclose(total, whole, rel_tol=1e-4), "the parts' losses add up to another one than that of the batch"


def check_training_leaves_no_trace(task: Task) -> None:
    """After training, the initial tensors measure what they did: nothing outside them remembers it."""
    import numpy as np

    from fedgen_bench.contract.adapting import Adapted
    from fedgen_bench.contract.messages import Fit
    from fedgen_bench.federation.batches import FitStreams
    from fedgen_bench.federation.parameters import dump_tensors, load_tensors
    from fedgen_bench.federation.trainer import TrainingPlan, fit

    module = task.new_module()
    adapted = Adapted(module, dict(module.named_parameters()))
    start, data = dump_tensors(adapted.trainable), task.client_data(np.arange(min(10, task.units(SEEDS).n_units)))
    before = _evidence(task, adapted, data.heldout)
    plan = TrainingPlan(optimizer="sgd", learning_rate=0.1, batch_size=4, local_steps=1)
    fit(adapted, task, data.train, Fit(start), plan, FitStreams(SEEDS, 0, 0), 1)
    load_tensors(adapted.trainable, start)
    assert _evidence(task, adapted, data.heldout) == before, "the module remembers that it was trained"


def _evidence(task: Task, adapted: Adapted, heldout: Any) -> str:
    import torch

    data = task.split("valid_subset") if heldout is None else heldout
    with adapted.untrained.kept("observe"), torch.inference_mode():
        return fingerprint(task.observe(adapted.module, data, SEEDS))


def check_observe(task: Task) -> None:
    """Evaluation gives the same finite evidence twice, of splits and a held-out tail, and leaves the module alone."""
    import numpy as np
    import torch

    module = task.new_module()
    before = _held(module)
    heldout = task.client_data(np.arange(min(30, task.units(SEEDS).n_units))).heldout
    with torch.inference_mode(), guarded("observe"):
        for split in ("valid_subset", "valid", *([] if heldout is None else [None])):
            data = heldout if split is None else task.split(split)
            first = task.observe(module, data, SEEDS)
            assert first, "no evidence"
            assert fingerprint(first) == fingerprint(task.observe(module, data, SEEDS)), "two equal evaluations differ"
            for name, value in first.items():
                assert all(math.isfinite(number) for number in _numbers(value)), f"evidence `{name}` is not finite"
            if isinstance(task, Declaring):
                declared = task.evidence(split or "valid_subset")
                differ = ", ".join(sorted(declared ^ first.keys()))
                assert not differ, f"`evidence` and what `observe` gives differ in: {differ}"
    assert _held(module) == before, "observe changed the module: a parameter, a buffer or its mode"


def _held(module: nn.Module) -> str:
    """A text that changes with any parameter or buffer of a module, and with its mode."""
    return fingerprint([module.training, *module.parameters(), *module.buffers()])


def _numbers(value: Any) -> Iterator[float]:
    """Every number anywhere inside a piece of evidence; strings hold none."""
    import torch

    if isinstance(value, torch.Tensor):
        assert value.device.type == "cpu", "evidence stays on the device"
        yield from value.flatten().tolist()
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _numbers(getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield from _numbers(tuple(value.values()))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _numbers(inner)
    elif not isinstance(value, str):
        yield value


def check_showcase(task: Task) -> None:
    """What is shown is None, a PNG or a text, the same every time, and leaves module and global generators alone."""
    import torch

    module = task.new_module()
    before = _held(module)
    with torch.inference_mode(), guarded("showcase"):
        first, second = (task.showcase(module, SEEDS) for _ in range(2))
    assert first is None or isinstance(first, str) or first.startswith(PNG_SIGNATURE), "the picture is no PNG"
    assert first == second, "two equal pictures or texts differ"
    assert _held(module) == before, "the module was changed"


def check_splits(task: Task) -> None:
    """All splits exist and are the same every time; provenance names what was read."""
    for name in SPLITS:
        assert fingerprint(task.split(name)) == fingerprint(task.split(name))
    assert task.provenance
    assert all(isinstance(key, str) and isinstance(value, str) for key, value in task.provenance.items())


def check_works_on_a_device(task: Task) -> None:
    """On a device, loss and evidence are those of the processor; evidence comes back to it."""
    from fedgen_bench.testing.pretended import plain_attention, pretended

    def found(module: nn.Module, batch: Mapping[str, torch.Tensor]) -> str:
        loss = task.loss(module, batch, torch.Generator().manual_seed(3))
        loss.backward()
        gradients = [one.grad.cpu() for one in module.parameters() if one.grad is not None]
        with torch.inference_mode():
            evidence = task.observe(module, task.split("valid_subset"), SEEDS)
        return fingerprint([loss.detach().cpu(), gradients, evidence])

    import torch

    with plain_attention():
        ours = found(task.new_module(), _batch(task))
        with pretended(double=False) as there:
            batch = {name: tensor.to(there.device) for name, tensor in _batch(task).items()}
            theirs = found(task.new_module().to(there.device), batch)
    assert ours == theirs, "a device finds something else"


_CHECKS: tuple[Check, ...] = (
    check_rehearsal,
    check_units,
    check_client_data,
    check_holdings,
    check_new_module,
    check_loss,
    check_losses,
    check_micro_batches,
    check_observe,
    check_splits,
    check_showcase,
    check_export,
    check_training_leaves_no_trace,
    check_works_on_a_device,
)


def task_checks() -> Iterator[Check]:
    """All of them apply to every task."""
    yield from _CHECKS
