"""Exports of finished runs: in a process that knows nothing of us they give the published numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import commands
import huggingface_hub
import numpy as np
import pytest
import torch
from fedgen_bench_plugins.tasks.heldout import n_heldout

from fedgen_bench import Session, StoreError, UsageError
from fedgen_bench.federation.assembly import assemble
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.seeding import seed_tree
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.store import Store

LORA = '{ name = "lora", params = { rank = 2, alpha = 4.0, targets = ["c_attn", "lm_head"] } }'
MIXED = '{ name = "mixed_lora", params = { client_ranks = [1, 3], targets = ["c_attn"] } }'
CONTENDERS = {
    "fedgen_edge": ("fedgen_edge", LORA),
    "full": ("fedavg", '{ name = "full" }'),
    "prompt": ("fedavg", '{ name = "prompt", params = { n_tokens = 4 } }'),
    "flora": ("flora", MIXED),
    "local_only": ("local_only", LORA),
    "frozen": ("frozen", '{ name = "none" }'),
    "centralized": ("centralized", LORA),
}
HEAD = """
[suite]
name = "small"
version = 1
title = "Small"
reference = "fedgen_edge"
full_model = "full"
[task]
name = "language_modeling"
[task.params]
dataset = "tiny-wire"
backbone = "tiny-wire-lm"
block_tokens = 48
unit_lines = 6
context_tokens = 48
stride_tokens = 48
valid_subset_lines = 24
batch_windows = 32
[partitioner]
name = "iid"
[federation]
n_clients = 4
clients_per_round = 2
rounds = 2
[training]
optimizer = "adamw"
local_steps = 2
batch_size = 4
precision = "fp32"
threads = 1
[evaluation]
metric = "perplexity_per_word"
target = 8.3
personalized_clients = 2
personalized_steps = 2
[seeds]
leaderboard = [1, 2]
tuning = 9
"""
IMAGES = """
[suite]
name = "pictures"
version = 1
title = "Pictures"
reference = "fedgen_edge"
full_model = "fedgen_edge"
[task]
name = "image_generation"
[task.params]
dataset = "tiny-shapes"
backbone = "tiny-shapes-unet"
sampler_steps = 2
n_samples = 10
n_valid_samples = 10
n_scored = 20
n_subset = 10
noise_levels = 1
extractors = []
optional_extractors = []
[partitioner]
name = "iid"
[federation]
n_clients = 2
clients_per_round = 2
rounds = 1
[training]
optimizer = "adamw"
local_steps = 2
batch_size = 4
precision = "fp32"
threads = 1
[evaluation]
metric = "denoising_loss"
target = 0.1
personalized_clients = 1
personalized_steps = 1
[seeds]
leaderboard = [1, 2]
tuning = 9
[[contender]]
name = "fedgen_edge"
learning_rate = 0.05
strategy = { name = "fedgen_edge" }
adapter = { name = "lora", params = { rank = 2, targets = ["attention"] } }
"""
READER = '''
"""Perplexity per word of texts under models that are loaded as their cards say; knows nothing of us."""
import json, math, pathlib, re, sys
import torch

torch.set_num_threads(1)
texts, *folders = sys.argv[1:]
texts = json.loads(pathlib.Path(texts).read_text())
for folder in folders:
    card = pathlib.Path(folder, "README.md").read_text()
    known = {}
    exec(re.search("```python\\n(.*?)```", card, re.DOTALL)[1], known)
    model, tokenizer = known["model"].eval(), known["tokenizer"]
    tokens, words = [], 0
    for line in texts[folder]:
        tokens += [*tokenizer(line, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        words += len(line.split()) + 1
    nats, stream = 0.0, torch.tensor([tokenizer.eos_token_id, *tokens])
    with torch.inference_mode():
        for start in range(0, len(tokens), 48):
            end = min(start + 48, len(tokens))
            inputs = stream[max(end - 48, 0) : end]
            scores = model(input_ids=inputs[None]).logits[0, start - end :].log_softmax(-1)
            nats -= float(scores.gather(1, stream[start + 1 : end + 1, None]).double().sum())
    assert not [name for name in sys.modules if name.startswith("fedgen")]
    print(math.exp(nats / words))
'''


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A session whose store has a run of every contender, with what clients keep; and the path of the suite."""
    root = tmp_path_factory.mktemp("export")
    rows = [
        f'[[contender]]\nname = "{name}"\nranked = {"false" if name in ("frozen", "local_only") else "true"}\n'
        f'learning_rate = 0.02\nstrategy = {{ name = "{strategy}" }}\nadapter = {adapter}\n'
        for name, (strategy, adapter) in CONTENDERS.items()
    ]
    suite = root / "small.toml"
    suite.write_text(HEAD + "\n".join(rows), encoding="utf-8")
    opened = Session(runs=root / "runs", leaderboards=root / "boards", device="cpu", jobs=1)
    results = opened.run(str(suite), seeds=[1], keep_clients=True)
    assert {record.status for record in results.records} == {"done"}
    return opened, str(suite), {record.contender: record for record in results.records}


@pytest.fixture
def export(session, tmp_path):
    """`export` of a contender into a new folder."""
    opened, suite, _ = session
    return lambda contender, **asked: opened.export(suite, contender, **{"out": tmp_path / "out", **asked})


@pytest.fixture(scope="module")
def texts(session):
    """Lines of the test split, or of a client's own held-out tail."""
    opened, _, _ = session
    with Store(Path(opened.runs), read_only=True) as store:
        (spec,) = (run.spec for run in store.runs("small", 1) if run.spec.contender == "fedgen_edge")
    experiment = assemble(spec, Loader(opened.registry, finder(opened.registry)), torch.device("cpu"))
    task = experiment.task

    def lines(client_id):
        if client_id is None:
            return list(task.corpus.test)
        units = experiment.population.parts[client_id]
        tail = units[len(units) - int(n_heldout(np.array(len(units)), 0.1)) :]
        return [task.corpus.train[i] for unit in tail for i in range(task._bounds[unit], task._bounds[unit + 1])]

    return lines


def test_what_others_load_gives_the_published_numbers(session, texts, tmp_path):
    opened, suite, records = session
    client = min(map(int, records["fedgen_edge"].per_client["personalized"]))
    cases = {
        "adapter": ("fedgen_edge", {}, None),
        "merged": ("fedgen_edge", {"merge": True}, None),
        "full": ("full", {}, None),
        "prompt": ("prompt", {}, None),
        "stacked": ("flora", {}, None),
        "own": ("fedgen_edge", {"client": client}, client),
        "alone": ("local_only", {"client": client}, client),
        "own_rank": ("flora", {"client": client}, client),
    }
    expected, read = [], {}
    for name, (contender, asked, whose) in cases.items():
        folder = tmp_path / name
        opened.export(suite, contender, out=folder, **asked)
        read[str(folder)] = texts(whose)
        record = records[contender]
        expected.append(
            record.metrics["test/perplexity_per_word"]
            if whose is None
            else record.per_client["personalized"][str(whose)]
        )
    (tmp_path / "texts.json").write_text(json.dumps(read), encoding="utf-8")
    words = [sys.executable, "-c", READER, str(tmp_path / "texts.json"), *read]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=commands.environ())
    assert done.returncode == 0, done.stderr
    found = [float(line) for line in done.stdout.splitlines() if line[:1].isdigit()]
    assert dict(zip(cases, found, strict=True)) == {
        name: pytest.approx(value, rel=1e-6) for name, value in zip(cases, expected, strict=True)
    }


def test_card_tells_numbers_and_origin(export, session):
    _, _, records = session
    made = export("fedgen_edge")
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    record = records["fedgen_edge"]
    for text in (
        made.code, repr(record.metrics["test/perplexity_per_word"]), record.digest, record.facts.final_sha256,
        'library_name: "peft"', 'base_model: "tiny-wire-lm"', "suite: `small`, version 1",
    ):  # fmt: skip
        assert text in card
    assert not re.search(r"\{\w+\}", card)


def test_card_has_the_results_that_model_hubs_read(export, session):
    from huggingface_hub import ModelCard

    _, _, records = session
    metrics = records["fedgen_edge"].metrics
    data = ModelCard((export("fedgen_edge").folder / "README.md").read_text(encoding="utf-8")).data
    assert (data.model_name, data.pipeline_tag) == ("small-fedgen_edge", "text-generation")
    found = {(one.dataset_split, one.metric_type): one.metric_value for one in data.eval_results}
    assert found["test", "perplexity_per_word"] == metrics["test/perplexity_per_word"]
    assert found["valid", "perplexity_per_word"] == metrics["valid/perplexity_per_word"]
    assert {(one.task_type, one.dataset_type) for one in data.eval_results} == {("text-generation", "tiny-wire")}


@pytest.mark.skipif(not hasattr(huggingface_hub, "parse_eval_result_entries"), reason="it parses no such results yet")
def test_result_for_a_benchmark_s_leaderboard_is_what_the_hub_parses(export, session):
    import yaml

    _, _, records = session
    made = export("fedgen_edge", benchmark="fed-gen/edge.tables")
    (path,) = (made.folder / ".eval_results").iterdir()
    (entry,) = huggingface_hub.parse_eval_result_entries(yaml.safe_load(path.read_text(encoding="utf-8")))
    assert (path.name, entry.dataset_id, entry.task_id) == ("small.yaml", "fed-gen/edge.tables", "small")
    assert entry.value == records["fedgen_edge"].metrics["test/perplexity_per_word"]
    assert entry.notes.startswith("perplexity_per_word on test, seed 1; suite small version 1, fedgen-bench ")


def test_card_of_a_client_has_no_results_of_the_global_model(export):
    made = export("fedgen_edge", client=0)
    assert "model-index" not in (made.folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("contender", "asked", "message"),
    [
        ("local_only", {}, r"has no global model \(strategy `local_only`\): .* `--client` \(0 to 3\)"),
        ("frozen", {}, "trains nothing"),
        ("centralized", {"client": 0}, "has no clients"),
        ("fedgen_edge", {"client": 4}, "no client 4: clients are 0 to 3"),
        ("fedgen_edge", {"seed": 2}, r"no run of `fedgen_edge` of suite `small` under seed 2\. It has 1"),
        ("fedgen_edge", {"overrides": ["federation.rounds=1"]}, r"Run it first: .* --set federation.rounds=1`"),
        ("fedgen_age", {}, "Did you mean `fedgen_edge`"),
        ("prompt", {"merge": True}, "merges no prompt tuning"),
        ("fedgen_edge", {"benchmark": "edge"}, "`edge` is no data set of the hub"),
        ("fedgen_edge", {"benchmark": "a/b", "client": 0}, "compares global models"),
    ],
)
def test_what_cannot_be_exported_gets_one_sentence(contender, asked, message, export, tmp_path):
    with pytest.raises(UsageError, match=message):
        export(contender, **asked)
    assert list(tmp_path.iterdir()) == []


def test_out_that_is_taken_is_left_alone(export, tmp_path):
    (tmp_path / "mine").touch()
    with pytest.raises(UsageError, match="is not empty"):
        export("fedgen_edge", out=tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_clients_that_were_not_kept_are_told_with_the_way_to_have_them(session, tmp_path):
    opened, suite, _ = session
    other = replace(opened, runs=tmp_path / "runs", leaderboards=tmp_path / "boards")
    with pytest.raises(StoreError, match="no results store"):
        other.export(suite, "full", out=tmp_path / "out")
    other.run(suite, contenders=["fedgen_edge"], seeds=[1])
    with pytest.raises(
        UsageError, match=r"did not keep .* --contender fedgen_edge --seed 1 --keep-clients --runs DIR`"
    ):
        other.export(suite, "fedgen_edge", client=0, out=tmp_path / "out")
    with pytest.raises(UsageError, match=r"no run of `full`.*Run it first: `fedgen-bench run --suite .*small\.toml"):
        other.export(suite, "full", out=tmp_path / "out")
    (final,) = (tmp_path / "runs").rglob("final.safetensors")
    final.write_bytes(final.read_bytes()[:-1] + b"?")
    with pytest.raises(StoreError, match="is not what its run wrote"):
        other.export(suite, "fedgen_edge", out=tmp_path / "out")


def test_kept_states_outlast_a_later_run(session):
    opened, suite, _ = session
    kept = sorted(Path(opened.runs).rglob("keep-*"))
    opened.run(suite, contenders=["fedgen_edge"], seeds=[1])
    assert sorted(Path(opened.runs).rglob("keep-*")) == kept != []


def test_lora_that_diffusers_loads_has_the_published_denoising_loss(tmp_path):
    (tmp_path / "pictures.toml").write_text(IMAGES, encoding="utf-8")
    opened = Session(runs=tmp_path / "runs", leaderboards=tmp_path / "boards", device="cpu", jobs=1)
    results = opened.run(str(tmp_path / "pictures.toml"), seeds=[1])
    made = opened.export(str(tmp_path / "pictures.toml"), "fedgen_edge", out=tmp_path / "out")
    known = {}
    exec(made.code, known)
    (stored,) = results.stored
    task = Loader(opened.registry, finder(opened.registry)).task(stored.spec)

    def loss(unet):
        module = task.new_module()
        module.unet = unet
        with torch.inference_mode():
            found = task.observe(module, task.split("test"), seed_tree(stored.spec))
        return found["noise_error"] / found["n_noise_errors"]

    published = stored.result.metrics["test/denoising_loss"]
    assert loss(known["unet"].eval()) == pytest.approx(published, rel=1e-6)
    assert loss(task.new_module().unet) != pytest.approx(published, rel=1e-3)
