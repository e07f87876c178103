"""Language modelling with any causal LM: data in lines, training in blocks of tokens, exact word perplexity."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from fedgen_bench import (
    BackboneSpec,
    Chosen,
    ClientData,
    DataError,
    DatasetSpec,
    Examples,
    Exposure,
    Find,
    Holdings,
    MicroBatch,
    Parts,
    Secrets,
    SeedTree,
    TaskSpec,
    Tensors,
    UnitTable,
    hookimpl,
    positions_of,
    private_copy,
)
from fedgen_bench_plugins.backbones.known import MINI_LM, SMOLLM2, TINY_WIRE_LM
from fedgen_bench_plugins.datasets.known import BEIGE_BOOK, PTB, SMOLLM2_GGUF
from fedgen_bench_plugins.datasets.texts import Corpus
from fedgen_bench_plugins.tasks.canaries import draw
from fedgen_bench_plugins.tasks.heldout import n_heldout, without_tail
from fedgen_bench_plugins.tasks.planting import Planted, check_words
from fedgen_bench_plugins.tasks.text_beginning import beginning_of, line_end_of
from fedgen_bench_plugins.tasks.text_corpora import CORPORA, TextReader, topic_labels
from fedgen_bench_plugins.tasks.text_params import EVALUATION_ONLY, LATER, Params
from fedgen_bench_plugins.tasks.text_samples import finished, prompts_of
from fedgen_bench_plugins.tasks.text_scoring import evidence_of, score
from fedgen_bench_plugins.tasks.text_windows import EvalText, spread, windows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import nn

    from fedgen_bench_plugins.backbones.exporting import LanguageModelExporter
    from fedgen_bench_plugins.backbones.loading import Backbone

_IGNORED = -100
_SPELLED_LINES = 200
_LIBRARIES = tuple(f"transformers:{name}" for name in ("AutoModelForCausalLM", "AutoTokenizer", "GPT2LMHeadModel"))


@dataclass(frozen=True)
class LanguageModeling:
    """What `build` returns: parameters known, nothing read.

    Args:
        params: of the task.
        corpora: by the names that the parameter `dataset` may have; a plugin's own task brings its own.
    """

    params: Params
    corpora: Mapping[str, TextReader] = field(default_factory=lambda: CORPORA)

    @property
    def _reader(self) -> TextReader:
        return self.corpora[self.params.dataset]

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(one.name for one in self._reader.datasets)

    def files(self, find: Find) -> dict[str, Path | Chosen]:
        from fedgen_bench_plugins.backbones.shipped import folders_of

        return {
            **self._reader.files(find, self.params.source),
            **folders_of(self.params.backbone, find, self.params.loading),
        }

    def load(self, find: Find) -> LoadedLanguageModeling:
        """Raises DataError when data, backbone or its BOS cannot be had, or windows exceed the backbone's positions."""
        from fedgen_bench_plugins.backbones.loading import load_backbone

        corpus = self._reader.read(find, self.params.source)
        backbone = load_backbone(self.params.backbone, find, self.params.loading)
        task = LoadedLanguageModeling(self.params, corpus, backbone)
        if task.free_positions is not None and task.free_positions < 0:
            raise DataError(
                f"Backbone `{backbone.name}` has {positions_of(backbone.module)} positions; the task asks for "
                f"{self.params.longest} tokens at a time. Lower block_tokens and context_tokens (a soft prompt takes "
                "positions as well)."
            )
        task.check_spelling()
        return task


class LoadedLanguageModeling:
    """The task with its corpus and backbone in memory."""

    def __init__(self, params: Params, corpus: Corpus, backbone: Backbone) -> None:
        self.params, self.corpus, self.backbone = params, corpus, backbone
        self.backbone_parameters = backbone.n_parameters
        self.provenance: Mapping[str, str] = {**corpus.provenance, f"backbone {backbone.name}": backbone.sha256}
        positions = positions_of(backbone.module)
        self.free_positions = None if positions is None else positions - params.longest
        self._line_end = line_end_of(params.line_end, backbone)
        self._beginning = beginning_of(params.bos, backbone, self._line_end)
        self._bounds = corpus.unit_bounds(params.unit_lines)
        self._canaries: Planted | None = None
        self._units = lru_cache(maxsize=8)(self._label_units)

    def units(self, seeds: SeedTree) -> UnitTable:
        """Runs of `unit_lines` lines of a document; column `label` holds the topic, the others are the corpus' own.

        There is no `label` where the corpus has none and too little text for topics. Column `n_tokens`, the units'
        lengths, is made for partitioners that ask for it.
        """
        return self._units(seeds.key("split", purpose="topics"))

    def _label_units(self, key: int) -> UnitTable:
        columns = {name: values[self._bounds[:-1]] for name, values in self.corpus.columns.items()}
        if "label" not in columns:
            groups = [self.corpus.train[start:end] for start, end in pairwise(self._bounds)]
            if (topics := topic_labels(groups, self.params.n_topics, key)) is not None:
                columns["label"] = topics
        return UnitTable(len(self._bounds) - 1, columns, {"n_tokens": lambda: self._n_tokens})

    @cached_property
    def _train_tokens(self) -> list[list[int]]:
        """Tokens of every unit."""
        per_line = self._encode(self.corpus.train)
        return [[token for line in per_line[start:end] for token in line] for start, end in pairwise(self._bounds)]

    def _tokens_of(self, unit: int) -> list[int]:
        """With those of canaries behind them."""
        own = self._train_tokens[unit]
        return own if self._canaries is None else own + self._canaries.behind(unit)

    @cached_property
    def _n_tokens(self) -> np.ndarray:
        """How many tokens each unit has, line ends included."""
        import numpy as np

        return np.fromiter(map(len, self._train_tokens), np.int64, len(self._train_tokens))

    def _encode(self, lines: Iterable[str]) -> list[list[int]]:
        """Tokens of each line with its line end."""
        from fedgen_bench_plugins.backbones.probes import check_spelled

        lines = list(lines)
        encoded: list[list[int]] = self.backbone.tokenizer(lines, add_special_tokens=False)["input_ids"]
        check_spelled(self.backbone.name, self.backbone.tokenizer, lines, encoded)
        return [[*ids, self._line_end] for ids in encoded]

    def check_spelling(self) -> None:
        """Raises DataError when the tokenizer loses words of the text; some lines of every part, the rest when used."""
        for part in (self.corpus.train, self.corpus.valid, self.corpus.test):
            self._encode(part[:: max(1, len(part) // _SPELLED_LINES)])
        check_words(self.params.canaries, self._encode)

    @property
    def secrets(self) -> Secrets | None:
        """Of `planted`."""
        return None if self._canaries is None else self._canaries.secrets

    def planted(self, parts: Parts, cohorts: Iterable[Sequence[int]], seeds: SeedTree) -> LoadedLanguageModeling:
        """With the canaries of a seed behind units that their owners train on. Raises DataError as `Planted`."""
        canaries = self.params.canaries
        if not canaries.count:
            return self
        asked = sorted({client_id for cohort in cohorts for client_id in cohort})
        trained = [(i, units) for i in asked if len(units := self.trained_units(parts[i]))]
        sown = copy.copy(self)
        drawn = draw(canaries, trained, seeds.numpy("secrets"))
        sown._canaries = Planted(canaries, drawn, self._encode, self.params.longest)  # noqa: SLF001 - its own copy
        return sown

    def exposures(self, module: nn.Module, numbers: Sequence[int]) -> list[Exposure]:
        """Of canaries and controls, as far as they were planted."""
        assert self._canaries is not None, "asked where `secrets` are there"
        n_tokens = self.params.batch_windows * self.params.context_tokens
        return self._canaries.exposures(module, self.backbone.module, numbers, self._beginning.token, n_tokens)

    def client_data(self, units: np.ndarray) -> ClientData:
        """Blocks for training; the last units are held out when at least two are left to train on."""
        import torch

        kept = self.trained_units(units)
        tail = units[len(kept) :]
        length = self.params.block_tokens
        stream = [self._beginning.token, *(token for unit in kept for token in self._tokens_of(unit))]
        n_blocks = -(-(len(stream) - 1) // length)
        padded = torch.full((n_blocks * length + 1,), _IGNORED, dtype=torch.int64)
        padded[: len(stream)] = torch.tensor(stream)
        starts = torch.arange(n_blocks)[:, None] * length
        blocks = padded[starts + torch.arange(length + 1)] if n_blocks else padded.new_empty((0, length + 1))
        lines = [i for unit in tail for i in range(self._bounds[unit], self._bounds[unit + 1])]
        heldout = self._eval_text("train", lines) if lines else None
        return ClientData(Examples({"blocks": self._beginning.put(blocks)}, n_blocks), heldout)

    def trained_units(self, units: np.ndarray) -> np.ndarray:
        """All but the tail."""
        return without_tail(units, self.params.heldout_fraction)

    def holdings(self, parts: Parts) -> Holdings:
        """Blocks that each client trains on, from the number of its tokens, and whether it holds a tail out."""
        import numpy as np

        tails = n_heldout(parts.sizes, self.params.heldout_fraction)
        n_tokens = self._n_tokens if self._canaries is None else self._canaries.n_tokens(self._n_tokens)
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(n_tokens[parts.units])])
        n_trained = before[parts.offsets[1:] - tails] - before[parts.offsets[:-1]]
        return Holdings(-(-n_trained // self.params.block_tokens), tails > 0)

    def _eval_text(self, part: Literal["train", "valid", "test"], chosen: Sequence[int]) -> EvalText:
        """The chosen lines of a part of the corpus."""
        import torch

        lines: list[str] = [getattr(self.corpus, part)[i] for i in chosen]
        tokens = torch.tensor([token for line in self._encode(lines) for token in line], dtype=torch.int64)
        floors = self.corpus.floor_nats.get(part)
        floor = None if floors is None else float(sum(floors[i] for i in chosen))
        return EvalText(
            tokens, sum(len(line.split()) + 1 for line in lines), sum(len(line.encode()) + 1 for line in lines), floor
        )

    @cached_property
    def _splits(self) -> dict[str, EvalText]:
        valid, test, runs = len(self.corpus.valid), len(self.corpus.test), self.corpus.valid_runs
        final = self.params.final_lines
        return {
            "valid": self._eval_text("valid", spread(valid, final, runs)),
            "test": self._eval_text("test", spread(test, final, runs)),
            "valid_subset": self._eval_text("valid", spread(valid, self.params.valid_subset_lines, runs)),
        }

    def split(self, name: str) -> EvalText:
        """`valid_subset`, `valid` or `test`."""
        return self._splits[name]

    def new_module(self) -> nn.Module:
        """A private copy of the backbone."""
        return private_copy(self.backbone.module)

    def loss(self, module: nn.Module, batch: Tensors, generator: torch.Generator) -> torch.Tensor:
        """Mean next-token loss over the batch's real tokens."""
        return self.losses(module, [batch], [generator])[0]

    def losses(
        self, module: nn.Module, batches: Sequence[Tensors], generators: Sequence[torch.Generator]
    ) -> list[torch.Tensor]:
        """`loss` of each batch, from one pass."""
        import torch
        from torch.nn.functional import cross_entropy

        blocks = [batch["blocks"] for batch in batches]
        alone = len(blocks) == 1
        inputs = (blocks[0] if alone else torch.cat(blocks))[:, :-1].clamp(min=0)
        logits = module(input_ids=inputs).logits
        if logits.shape[1] > inputs.shape[1]:  # behind a soft prompt; the gradient of every slice is a copy
            logits = logits[:, -inputs.shape[1] :]
        targets = (blocks[0] if alone else torch.cat(blocks))[:, 1:]
        scores, wanted = logits.flatten(0, 1).float(), targets.flatten()
        if alone:
            return [cross_entropy(scores, wanted, ignore_index=_IGNORED)]
        errors = cross_entropy(scores, wanted, ignore_index=_IGNORED, reduction="none").view(targets.shape).sum(dim=1)
        counts = (targets != _IGNORED).sum(dim=1)
        rows = [len(one) for one in blocks]
        return [nats.sum() / n.sum() for nats, n in zip(errors.split(rows), counts.split(rows), strict=True)]

    def micro_batches(self, batch: Tensors, size: int, generator: torch.Generator) -> list[MicroBatch]:
        """Every real token counts alike; nothing is drawn."""
        blocks = batch["blocks"]
        counts = (blocks[:, 1:] != _IGNORED).sum(dim=1)
        parts = zip(blocks.split(size), counts.split(size), strict=True)
        return [MicroBatch({"blocks": some}, n.sum() / counts.sum()) for some, n in parts]

    def observe(self, module: nn.Module, data: Any, seeds: SeedTree) -> dict[str, Any]:
        """Summed negative log-likelihood and predicted tokens of an `EvalText`, and what they are counted in.

        Its halves are every other window of it, where there are two; words and bytes fall to them as tokens do.
        """
        groups = windows(data.tokens, self._beginning, self.params)
        found, halves = score(module, groups, self.params.batch_windows)
        divided = all(half.n_tokens for half in halves)
        evidence = {**evidence_of(found, data), "halves": tuple(evidence_of(one, data) for one in halves if divided)}
        return evidence if data.floor_nats is None else {**evidence, "floor_nats": data.floor_nats}

    def evidence(self, split: str) -> frozenset[str]:
        """Sums of every text; the generator's own where it wrote the text."""
        floor = {"floor_nats"} if split.removesuffix("_subset") in self.corpus.floor_nats else set()
        return frozenset({"nll_nats", "n_words", "n_bytes", "n_tokens", "n_correct_tokens", "halves"} | floor)

    def exporter(self) -> LanguageModelExporter:
        """For peft and transformers."""
        from fedgen_bench_plugins.backbones.exporting import LanguageModelExporter

        return LanguageModelExporter(self.backbone, self.params.loading)

    def showcase(self, module: nn.Module, seeds: SeedTree) -> str | None:
        """Lines of validation that the model finishes behind `>>`, where `sample_tokens` asks for them."""
        import torch

        if not self.params.sample_tokens:
            return None
        prompts = prompts_of(self.corpus.valid, lambda line: self._encode([line])[0][:-1])
        draws = torch.rand(
            len(prompts), self.params.sample_tokens, generator=seeds.torch("evaluation", purpose="samples")
        )
        start, end = self._beginning.token, self._line_end
        rests = finished(module, torch.tensor(prompts, dtype=torch.int64), draws, start=start, end=end)
        both = zip(prompts, rests, strict=True)
        return "\n".join(f"{self._decoded(prompt)} >> {self._decoded(rest)}" for prompt, rest in both)

    def _decoded(self, tokens: list[int]) -> str:
        """Their text on one line."""
        return " ".join(self.backbone.tokenizer.decode(tokens).split())


@hookimpl
def register_datasets() -> list[DatasetSpec]:
    return [PTB, BEIGE_BOOK, SMOLLM2_GGUF]


@hookimpl
def register_backbones() -> list[BackboneSpec]:
    return [MINI_LM, TINY_WIRE_LM, SMOLLM2]


@hookimpl
def register_tasks() -> list[TaskSpec]:
    summary = "Next-token training and perplexity per word of any causal language model."
    trial = {"dataset": "tiny-wire", "backbone": "tiny-wire-lm", "valid_subset_lines": 16}
    return [
        TaskSpec(
            name="language_modeling", summary=summary, build=LanguageModeling, params=Params, trial=trial,
            evaluation_only=EVALUATION_ONLY, later=LATER, libraries=_LIBRARIES,
        )
    ]  # fmt: skip
