"""For engines: a client's part of a round as data, what works it off elsewhere, and workers that are kept busy."""

from __future__ import annotations

from fedgen_bench.base.devices import default_jobs
from fedgen_bench.base.pool import Crew, Died
from fedgen_bench.base.workers import Workers
from fedgen_bench.contract.engines import ClientOutcome, ClientTask, Engine, Evaluating, EvaluationTask, Work
from fedgen_bench.federation.assembly import open_work
from fedgen_bench.federation.blueprint import Blueprint
from fedgen_bench.federation.dispatch import Dispatcher
from fedgen_bench.federation.packing import Answer, Packed, PackedTask
from fedgen_bench.federation.remote import Workshop

__all__ = [
    "Answer",
    "Blueprint",
    "ClientOutcome",
    "ClientTask",
    "Crew",
    "Died",
    "Dispatcher",
    "Engine",
    "Evaluating",
    "EvaluationTask",
    "Packed",
    "PackedTask",
    "Work",
    "Workers",
    "Workshop",
    "default_jobs",
    "open_work",
]
