"""Ray: clients on the actors of this machine or of a cluster. `pip install "fedgen-bench[ray]"`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedgen_bench import EngineSpec, FedgenError, PluginError, hookimpl

if TYPE_CHECKING:
    from fedgen_bench.authors.engines import (
        Answer,
        Blueprint,
        ClientOutcome,
        ClientTask,
        Died,
        Dispatcher,
        EvaluationTask,
        Packed,
        Work,
    )

_CONNECT_SECONDS, _PLACE_SECONDS = 20, 600
_PARTS, _ROUNDING = 10_000, 1e-9
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty settings
_FRAME_HEAD, _SETTINGS_FRAME = 9, 4
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

    def run(self, tasks: Iterable[ClientTask], work: Work) -> Iterator[ClientOutcome]:
        dispatcher, blueprint = self._place(work)
        return dispatcher.run(tasks, blueprint, self._jobs)

    def evaluate(self, tasks: Iterable[EvaluationTask], work: Work) -> Iterator[Mapping[str, float]]:
        dispatcher, blueprint = self._place(work)
        return dispatcher.evaluate(tasks, blueprint, self._jobs)

    def _place(self, work: Work) -> tuple[Dispatcher, Blueprint]:
        """What keeps the actors busy, and what they build the work from."""
        blueprint = work.blueprint
        assert blueprint is not None, "the work must say how another process builds it"
        if self._dispatcher is None:
            self._dispatcher = self._connected(blueprint)
        device = blueprint.device.partition(":")[0]  # an actor sees its own GPU alone
        return self._dispatcher, replace(blueprint, data=blueprint.data.absolute(), device=device)

    def _connected(self, blueprint: Blueprint) -> Dispatcher:
        from fedgen_bench.authors.engines import Dispatcher, default_jobs

        threads = blueprint.threads
        wanted = self.params.jobs or default_jobs(threads, blueprint.device)
        if not self._ray.is_initialized():
            _start(self._ray, self.params.address, wanted * threads)
            self._started = True
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if blueprint.device.startswith("cuda"):
            each = [1.0 for node in nodes for _ in range(int(node.get("GPU", 0)))]
            self._jobs = self.params.jobs or max(1, len(each))
            needs = {"num_cpus": 0, "num_gpus": share(1.0, each, self._jobs)}
        else:
            each = [node.get("CPU", 0.0) for node in nodes]
            n_places = 1 if blueprint.device == "mps" else sum(int(one) // threads for one in each)
            self._jobs = self.params.jobs or max(1, n_places)
            needs = {"num_cpus": share(threads, each, self._jobs)}
        return Dispatcher(_Actors(self._ray, needs))

    def close(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
        if self._started:
            self._ray.shutdown()
            self._started = False


def share(wanted: float, each: Sequence[float], jobs: int) -> float:
    """What an actor asks for so that all find a place: at most `wanted`, less when there is not enough for all.

    An actor is placed on one device or node, so three on two GPUs ask for half a GPU, not for two thirds. Ray takes
    whole numbers from one on and ten-thousandths below.

    Args:
        wanted: what one actor can use.
        each: what every GPU (1.0) or node has.
        jobs: actors.

    Returns:
        0 when there is nothing to ask for.
    """
    shares = [wanted, *(one / n for one in each for n in range(1, jobs + 1))]
    able = (one for one in map(_rounded, shares) if 0 < one <= wanted)
    return max((one for one in able if sum(int(all_of / one + _ROUNDING) for all_of in each) >= jobs), default=0.0)


def _rounded(amount: float) -> float:
    return float(int(amount)) if amount >= 1 else int(amount * _PARTS + _ROUNDING) / _PARTS


def _imported() -> Any:
    """Ray, quiet and without reports home. Raises PluginError when it is not installed."""
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
    """Whether a cluster's head may be at `host:port`: it answers as HTTP/2 servers do, which Ray's are.

    Raises:
        FedgenError: nothing listens there, or something else does; Ray itself would wait, in the latter case for ever.
    """
    import socket

    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # `auto`, for instance
    try:
        with socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS) as link:
            link.sendall(_GREETING)
            with link.makefile("rb") as answers:
                head = answers.read(_FRAME_HEAD)
    except (OSError, OverflowError) as error:  # the latter of a port beyond 65535
        why = f"Nothing answers at {address} ({error})."
    else:
        if len(head) == _FRAME_HEAD and head[3] == _SETTINGS_FRAME:
            return
        why = f"What listens at {address} is no Ray cluster."
    raise FedgenError(
        f"{why} Waited at most {_CONNECT_SECONDS} s for the greeting of a cluster's head. Give the address that "
        "`ray start --head` printed, or leave `--address` out for this machine alone."
    )


class _Actor:
    """A workshop in the coordinator's folder."""

    def __init__(self, folder: str) -> None:
        from fedgen_bench.authors.engines import Workshop

        with contextlib.suppress(OSError):  # on another machine: then only absolute paths are found
            os.chdir(folder)
        self._workshop = Workshop()

    def begin(self) -> None:
        """Resolves when the actor is there and about to answer."""

    def answer(self, task: Packed, body: bytes, *merges: bytes) -> Answer:
        """`body` and `merges` come from the object store."""
        return self._workshop.answer(replace(task, body=body, merges=merges))


class _Actors:
    """Workers are actors; what they are asked at present is a reference."""

    def __init__(self, ray: Any, needs: Mapping[str, float]) -> None:
        self._ray = ray
        self._actor = ray.remote(**needs)(_Actor)
        self._needs = needs
        self._asked: dict[Any, Any] = {}
        self._begun: dict[Any, Any] = {}
        self._put = lru_cache(maxsize=16)(ray.put)

    def hire(self) -> Any:
        return self._actor.remote(str(Path.cwd()))

    def give(self, worker: Any, task: Packed, /) -> None:
        body, *merges = map(self._shared, (task.body, *task.merges))
        self._begun[worker] = worker.begin.remote()
        self._asked[worker] = worker.answer.remote(replace(task, body=b"", merges=()), body, *merges)

    def _shared(self, content: bytes) -> Any:
        """A reference where that is cheaper; equal bytes are put once."""
        return self._put(content) if len(content) > _SHARED_BYTES else content

    def wait(self, busy: Collection[Any], *, block: bool) -> Iterable[tuple[Any, Answer | Died]]:
        asked = {self._asked[worker]: worker for worker in busy}
        while True:
            ready, _ = self._ray.wait(list(asked), num_returns=1, timeout=_PLACE_SECONDS if block else 0)
            if ready or not block:
                return [(asked[one], self._heard(asked[one], one)) for one in ready]
            if not any(self._has_begun(worker) for worker in busy):
                raise FedgenError(self._no_place(len(asked)))

    def _has_begun(self, worker: Any) -> bool:
        """Whether an actor accepted its task, be it that it died later."""
        begun = self._begun[worker]
        if not self._ray.wait([begun], num_returns=1, timeout=0)[0]:
            return False
        try:
            self._ray.get(begun)
        except self._ray.exceptions.RayError:
            return False
        return True

    def _no_place(self, n: int) -> str:
        asked = ", ".join(f"{name} = {amount:g}" for name, amount in self._needs.items())
        return (
            f"Waited {_PLACE_SECONDS} s for Ray to start one of {n} actors ({asked} each); none has begun. Look with "
            "`ray status` for what holds the cluster, or ask for fewer `--jobs`."
        )

    def _heard(self, worker: Any, asked: Any) -> Answer | Died:
        from fedgen_bench.authors.engines import Died

        del self._asked[worker]
        try:
            answer: Answer = self._ray.get(asked)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:  # the actor, its node or what it was handed is lost
            died = Died(str(error).strip().splitlines()[-1].strip()[:200], begun=self._has_begun(worker))
            self.dismiss(worker)
            return died
        return answer

    def dismiss(self, worker: Any) -> None:
        self._asked.pop(worker, None)
        self._begun.pop(worker, None)
        self._ray.kill(worker)


@hookimpl
def register_engines() -> list[EngineSpec]:
    summary = "Ray actors on this machine or a cluster (--address): the clients of one cell are spread over --jobs."
    return [EngineSpec(name="ray", summary=summary, build=Ray, params=Params)]
