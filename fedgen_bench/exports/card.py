"""The model card of an export: what it is, how it is loaded, its numbers and origin, from the record of its run."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedgen_bench.base.digits import decimals_of, show
from fedgen_bench.base.safe_text import one_line
from fedgen_bench.base.stats import interval

if TYPE_CHECKING:
    from fedgen_bench.contract.exporting import Exporter, HowToLoad
    from fedgen_bench.contract.reports import Privacy
    from fedgen_bench.exports.choosing import Chosen


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a card is about.

    Args:
        client_id: whose model it is; None for everybody's.
        n_steps: local steps that this client took after the last round.
        licences: of the data sets, by name.
    """

    client_id: int | None
    n_steps: int
    licences: Mapping[str, str]


def card(
    title: str, form: str, chosen: Chosen, subject: Subject, exporter: Exporter, loading: HowToLoad, folder: str
) -> str:
    """`README.md`, with the head that model hubs read; `form` is what was written."""
    record = chosen.record
    whose = "global" if subject.client_id is None else f"of client {subject.client_id}"
    head: dict[str, Any] = {
        "base_model": exporter.name,
        "library_name": loading.library,
        "tags": ["federated-learning", "fedgen-bench"],
    }
    if exporter.licence:
        head["license"] = exporter.licence
    if subject.client_id is None:
        head["pipeline_tag"] = exporter.pipeline
        head["model-index"] = [
            {"name": f"{record.config.suite}-{record.contender}", "results": _results(title, chosen, exporter)}
        ]
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---", ""]
    lines += [f"# {one_line(title)}: {record.contender}, seed {record.seed}", ""]
    lines += [f"The {form} ({whose}) that this contender trained in suite `{record.config.suite}`.", ""]
    lines += ["## Load", "", "```python", loading.of(folder), "```", ""]
    lines += ["## Numbers", "", *_numbers(chosen, subject), ""]
    lines += [
        "## Origin",
        "",
        *(f"- {one_line(what)}: {one_line(said)}" for what, said in _origin(chosen, subject, exporter)),
    ]
    return "\n".join(lines) + "\n"


def _results(title: str, chosen: Chosen, exporter: Exporter) -> list[dict[str, Any]]:
    """This run's metrics on validation and test as hubs show them (`model-index`); those of parts are left out."""
    record = chosen.record
    task = record.config.task
    data = str(task.params.get("dataset", task.name))
    found: dict[str, list[dict[str, Any]]] = {}
    for name, value in sorted(record.metrics.items()):
        split, _, metric = name.partition("/")
        if split in ("test", "valid") and "/" not in metric:
            found.setdefault(split, []).append({"type": metric, "name": metric.replace("_", " "), "value": value})
    return [
        {
            "task": {"type": exporter.pipeline},
            "dataset": {"type": data, "name": one_line(title), "split": split},
            "metrics": metrics,
        }
        for split, metrics in found.items()
    ]


def _numbers(chosen: Chosen, subject: Subject) -> Iterator[str]:
    record, siblings = chosen.record, chosen.siblings
    if subject.client_id is not None:
        yield from _of_client(chosen, subject)
        yield ""
        yield "All clients and the global model, as the table has them:"
        yield ""
    if len(siblings) == 1:
        yield from (f"| metric | seed {record.seed} |", "|---|---|")
        yield from (f"| {name} | {value!r} |" for name, value in sorted(record.metrics.items()))
        return
    yield f"| metric | seed {record.seed} | mean of {len(siblings)} seeds | 95 % interval |"
    yield "|---|---|---|---|"
    for name, value in sorted(record.metrics.items()):
        values = [one.metrics[name] for one in siblings if name in one.metrics]
        found = interval(values)
        decimals = decimals_of(found.mean, found.high - found.mean)
        among = "–" if math.isnan(found.low) else f"{show(found.low, decimals)} to {show(found.high, decimals)}"
        yield f"| {name} | {value!r} | {show(found.mean, decimals)} | {among} |"


def _of_client(chosen: Chosen, subject: Subject) -> Iterator[str]:
    """Clients' metric on the client's own held-out data, where it was measured."""
    record = chosen.record
    measured = {
        model: values[str(subject.client_id)]
        for model, values in record.per_client.items()
        if str(subject.client_id) in values
    }
    if not measured:
        yield "This client was not among those whose own held-out data were evaluated."
        return
    yield f"| on held-out data of client {subject.client_id} | {record.own} |"
    yield "|---|---|"
    steps = f", after {subject.n_steps} more local steps" if subject.n_steps else ""
    names = {
        "global": "the global model",
        "kept": "what the client had after its last round",
        "personalized": f"this export{steps}",
    }
    yield from (f"| {names[model]} | {value!r} |" for model, value in measured.items())


def _origin(chosen: Chosen, subject: Subject, exporter: Exporter) -> Iterator[tuple[str, str]]:
    record, config = chosen.record, chosen.record.config
    contender, environment = config.contender, record.environment
    yield "suite", f"`{config.suite}`, version {config.suite_version}"
    if record.off_suite:
        yield "off the suite with", ", ".join(f"`{one}`" for one in record.off_suite)
    yield "digest of the configuration", f"`{record.digest}`"
    yield "strategy", _component(contender.strategy)
    yield "adapter", _component(contender.adapter)
    if contender.mechanism is not None:
        yield "mechanism", _component(contender.mechanism)
    if record.privacy is not None:
        yield "privacy", _guarantee(record.privacy, subject)
    federation = config.federation
    uplink = f"{record.bytes.up.encoded:,} bytes of uplink"
    cohort = f"{federation.n_clients} clients, {federation.clients_per_round} a round, {federation.rounds} rounds"
    yield "federation", f"{cohort}; {uplink}"
    revision = f", revision `{exporter.revision}`" if exporter.revision else ""
    yield "backbone", f"`{exporter.name}`{revision}; licence: {exporter.licence or 'see the backbone'}"
    for name, licence in subject.licences.items():
        yield f"data set `{name}`", f"licence: {licence}"
    for name, sha256 in sorted(record.facts.data.items()):
        yield f"{name}", f"sha256 `{sha256}`"
    if subject.client_id is None:
        yield "trained tensors", f"sha256 `{record.facts.final_sha256}`"
    libraries = environment.get("libraries", {})
    yield (
        "code",
        f"fedgen-bench {libraries.get('fedgen-bench', '')}, commit `{environment.get('commit') or 'not known'}`",
    )
    yield (
        "environment",
        ", ".join(
            f"{name} {libraries[name]}" for name in ("torch", "transformers", "diffusers", "peft") if name in libraries
        )
        + f"; {environment.get('processor', '')}, {environment.get('device', '')}",
    )


def _guarantee(privacy: Privacy, subject: Subject) -> str:
    if subject.client_id is not None:
        return "none: what is guaranteed of the global model is not of a client's own, which no noise covers"
    unit = "all data of one client" if privacy.unit == "client" else "a single example"
    said = f"epsilon {show(privacy.epsilon)} at delta {privacy.delta:g} for {unit}"
    return f"{said}, had the noise been secret; that of this run can be computed again from its seed"


def _component(component: Any) -> str:
    params = json.dumps(component.params, sort_keys=True)
    return f"`{component.name}` version {component.version}, `{params}`"
