"""Ray: clients on the actors of this machine or of a cluster. `pip install "fedgen-bench[ray]"`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import EngineSpec, hookimpl

if TYPE_CHECKING:
    from fedgen_bench.clients import ClientOutcome, ClientTask, ClientWork, Recipe
    from fedgen_bench.dispatch import Died, Dispatcher
    from fedgen_bench.remote import Answer, PackedTask

_CONNECT_SECONDS = 20
_SHARED_BYTES = 100_000  # Ray copies smaller arguments into the call itself
_CARRIED = ("FEDGEN_", "HF_", "PYTHONPATH")
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # 15 otherwise: on a busy machine actors would hardly run
}


@dataclass(frozen=True)
class Params:
    """Knobs of the engine.

    Args:
        jobs: actors; as many as the cluster has room for when 0.
        address: of a running cluster, `host:port` or `auto`; a cluster of this machine alone is started when empty.
    """

    jobs: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise ValueError(f"jobs must be at least 1, or 0 for the default, got {self.jobs}.")


class Ray:
    """Every actor builds the cell once; what several clients are sent alike is put into the object store once."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self._ray = _imported()
        self._dispatcher: Dispatcher | None = None
        self._jobs = 0
        self._started = False

    def run(self, tasks: Iterable[ClientTask], work: ClientWork) -> Iterator[ClientOutcome]:
        recipe = work.recipe
        assert recipe is not None, "the work must say how another process builds it"
        if self._dispatcher is None:
            self._dispatcher = self._connected(recipe)
        recipe = replace(recipe, data=recipe.data.absolute())
        return self._dispatcher.run(tasks, recipe, self._jobs)

    def _connected(self, recipe: Recipe) -> Dispatcher:
        from fedgen_bench.dispatch import Dispatcher
        from fedgen_bench.workers import default_jobs

        threads = recipe.spec.config["training"]["threads"]
        wanted = self.params.jobs or default_jobs(threads, recipe.device)
        if not self._ray.is_initialized():
            _start(self._ray, self.params.address, wanted * threads)
            self._started = True
        total = self._ray.cluster_resources()
        on_cuda = recipe.device.startswith("cuda")
        room = int(total.get("GPU", 0)) if on_cuda else int(total.get("CPU", 0)) // threads
        self._jobs = self.params.jobs or max(1, room)
        needs = {"num_cpus": min(threads, total.get("CPU", 0) / self._jobs)}
        if on_cuda:
            needs["num_gpus"] = min(1.0, total.get("GPU", 0) / self._jobs)
        return Dispatcher(_Actors(self._ray, needs))

    def close(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
        if self._started:
            self._ray.shutdown()
            self._started = False


def _imported() -> Any:
    """Ray, quiet and without reports home. Raises PluginError when it is not installed."""
    from fedgen_bench.errors import PluginError

    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise PluginError('Engine `ray` needs Ray. Install it with `pip install "fedgen-bench[ray]"`.') from error
    return ray


def _start(ray: Any, address: str, n_cpus: int) -> None:
    """Join the cluster at `address`, or start one of this machine alone.

    Raises:
        FedgenError: nothing answers at the address, or Ray does not start.
    """
    import logging

    from fedgen_bench.errors import FedgenError

    where: dict[str, Any] = {"address": "local", "num_cpus": n_cpus, "include_dashboard": False}
    if address:
        _reach(address)
        carried = {name: value for name, value in os.environ.items() if name.startswith(_CARRIED)}
        where = {"address": address, "runtime_env": {"env_vars": carried}}
    try:
        ray.init(**where, logging_level=logging.CRITICAL, log_to_driver=False)
    except Exception as error:  # noqa: BLE001 - Ray has no one type for it
        raise FedgenError(
            f"Ray cannot be had at {where['address']}: {error} Start a cluster with `ray start --head` on this machine "
            "or with this machine in it, or use `--engine processes`."
        ) from None


def _reach(address: str) -> None:
    """Raises FedgenError when nothing listens at `host:port`; Ray itself would wait for minutes."""
    import socket

    from fedgen_bench.errors import FedgenError

    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto`, for instance
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise FedgenError(
            f"Nothing answers at {address} ({error}). Give the address that `ray start --head` printed, or leave "
            "`--address` out for this machine alone."
        ) from None


class _Actor:
    """A workshop in the coordinator's folder."""

    def __init__(self, folder: str) -> None:
        from fedgen_bench.remote import Workshop

        with contextlib.suppress(OSError):  # on another machine: then only absolute paths are found
            os.chdir(folder)
        self._workshop = Workshop()

    def answer(self, recipe: Recipe, task: PackedTask, body: bytes, *merges: bytes) -> Answer:
        """`body` and `merges` come from the object store."""
        return self._workshop.answer(recipe, replace(task, body=body, merges=merges))


class _Actors:
    """Workers are actors; what they are asked at present is a reference."""

    def __init__(self, ray: Any, needs: Mapping[str, float]) -> None:
        self._ray = ray
        self._actor = ray.remote(**needs)(_Actor)
        self._asked: dict[Any, Any] = {}
        self._put = lru_cache(maxsize=16)(ray.put)

    def hire(self) -> Any:
        return self._actor.remote(str(Path.cwd()))

    def give(self, worker: Any, recipe: Recipe, task: PackedTask) -> None:
        body, *merges = map(self._shared, (task.body, *task.merges))
        self._asked[worker] = worker.answer.remote(recipe, replace(task, body=b"", merges=()), body, *merges)

    def _shared(self, content: bytes) -> Any:
        """A reference where that is cheaper; equal bytes are put once."""
        return self._put(content) if len(content) > _SHARED_BYTES else content

    def wait(self, busy: Collection[Any], *, block: bool) -> Iterable[tuple[Any, Answer | Died]]:
        asked = {self._asked[worker]: worker for worker in busy}
        ready, _ = self._ray.wait(list(asked), num_returns=1, timeout=None if block else 0)
        return [(asked[one], self._heard(asked[one], one)) for one in ready]

    def _heard(self, worker: Any, asked: Any) -> Answer | Died:
        from fedgen_bench.dispatch import Died

        del self._asked[worker]
        try:
            answer: Answer = self._ray.get(asked)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:  # the actor, its node or what it was handed is lost
            self.dismiss(worker)
            return Died(str(error).strip().splitlines()[-1].strip()[:200])
        return answer

    def dismiss(self, worker: Any) -> None:
        self._asked.pop(worker, None)
        self._ray.kill(worker)


@hookimpl
def register_engines() -> list[EngineSpec]:
    summary = "Ray actors on this machine or a cluster (--address): the clients of one cell are spread over --jobs."
    return [EngineSpec(name="ray", summary=summary, build=Ray, params=Params)]
