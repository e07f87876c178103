"""`table.md`: for people: units, rounded, the best in bold, and notes on what the numbers are."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench import NoParams, TableFormatSpec, hookimpl
from fedgen_bench.text import one_line
from fedgen_bench_plugins.tables.numbers import show_bytes, show_percent, show_quality

if TYPE_CHECKING:
    from fedgen_bench.leaderboard import Table

_HEAD = (
    "rank", "contender", "trainable", "quality", "95 % CI", "personalised", "worst decile", "rounds to target",
    "uplink to target", "uplink",
    "uplink per client-round", "downlink", "uplink saved", "status",
)  # fmt: skip


def escape(text: str) -> str:
    """Text that stays text in Markdown and HTML."""
    return one_line(html.escape(text, quote=False)).replace("\\", "\\\\").replace("|", "\\|").replace("](", "]\\(")


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join(' --- ' for _ in head)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _best(rows: Sequence[Mapping[str, Any]], column: str, *, lower: bool) -> float | None:
    values = [row[column] for row in rows if row["rank"] is not None and row[column] is not None]
    return (min(values) if lower else max(values)) if values else None


class Markdown:
    """The table for people."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        lines = [f"# {escape(table.title)}: suite `{table.suite}`, version {table.version}", ""]
        lines += _grid(_HEAD, self._rows(table))
        lines += ["", *self._notes(table), "", *self._paired(table), "", *self._others(table), *self._parts(table)]
        lines += ["", *self._setup(table)]
        return "\n".join(lines).rstrip() + "\n"

    def _rows(self, table: Table) -> list[list[str]]:
        lower, followed_lower = table.lower_is_better, table.followed.lower_is_better
        best = {
            column: _best(table.rows, column, lower=direction)
            for column, direction in (
                ("quality_mean", lower), ("personalized_mean", followed_lower), ("worst_decile_mean", followed_lower),
                ("rounds_to_target_mean", True),
                ("uplink_to_target_bytes", True), ("uplink_total_bytes", True), ("uplink_per_client_round_bytes", True),
                ("downlink_total_bytes", True), ("uplink_reduction_vs_full", False),
            )
        }  # fmt: skip

        def bold(row: Mapping[str, Any], column: str, text: str) -> str:
            return (
                f"**{text}**"
                if row["rank"] is not None and row[column] is not None and row[column] == best[column]
                else text
            )

        return [
            [
                "–" if row["rank"] is None else str(row["rank"]),
                escape(row["contender"]),
                "–"
                if row["trainable_params"] is None
                else f"{row['trainable_params']:,} ({show_percent(row['trainable_fraction'])})",
                bold(
                    row,
                    "quality_mean",
                    show_quality(row["quality_mean"]) + (f" ± {row['quality_std']:.2g}" if row["quality_std"] else ""),
                ),
                "–"
                if row["quality_ci_low"] is None
                else f"{show_quality(row['quality_ci_low'])} to {show_quality(row['quality_ci_high'])}",
                *(
                    bold(row, column, show_quality(row[column]))
                    for column in ("personalized_mean", "worst_decile_mean")
                ),
                bold(
                    row,
                    "rounds_to_target_mean",
                    "–" if row["rounds_to_target_mean"] is None else f"{row['rounds_to_target_mean']:.1f}",
                ),
                *(
                    bold(row, column, show_bytes(row[column]))
                    for column in (
                        "uplink_to_target_bytes",
                        "uplink_total_bytes",
                        "uplink_per_client_round_bytes",
                        "downlink_total_bytes",
                    )
                ),
                bold(row, "uplink_reduction_vs_full", show_percent(row["uplink_reduction_vs_full"])),
                escape(row["status"]) + (f" ({row['n_seeds']} seeds)" if row["status"] == "incomplete" else ""),
            ]
            for row in table.rows
        ]

    def _notes(self, table: Table) -> list[str]:
        better = "Lower" if table.lower_is_better else "Higher"
        followed = table.followed
        direction = "lower" if followed.lower_is_better else "higher"
        own, why = "the same metric", "other data"
        if table.follows_another:
            own, why = f"{followed.unit} ({direction} is better)", "another metric, other data"
        notes = [
            (
                f"- **quality**: {table.metric_unit} on the whole test part, read once after the last round; "
                f"mean ± standard deviation over seeds {', '.join(map(str, table.seeds))}. {better} is better."
            ),
            (
                f"- **personalised**, **worst decile**: {own} on clients' own held-out tails, after "
                f"{table.setup['evaluation']['personalized_steps']} more local steps from the tensors that the method "
                "gives the client; mean over the evaluated clients, and mean of the worst tenth of them. "
                f"Not comparable with the quality column: {why}."
            ),
            (
                f"- **target**: {followed.unit} of {show_quality(table.target)} on the validation subset that is "
                "evaluated every round; a dash where not every seed reached it."
            ),
            (
                "- **uplink**, **downlink**: booked lengths of the encoded messages, headers included, mean over "
                f"seeds. **uplink saved**: against `{table.full_model}`, per client-round."
            ),
            (
                "- Rows without a rank are references (no federation, all data in one place, no training), or are not "
                "comparable (see status)."
            ),
            *(f"- {line}" for line in table.notes.strip().splitlines()),
        ]
        return notes + [f"- {escape(name)}: {escape(reason)}" for name, reason in sorted(table.reasons.items())]

    def _paired(self, table: Table) -> list[str]:
        rows = []
        for name, found in table.paired.items():
            between = "–" if math.isnan(found.low) else f"{found.low:+.4g} to {found.high:+.4g}"
            rows.append([escape(name), f"{found.mean:+.4g}", between, str(found.n)])
        head = ["contender", f"difference to `{table.reference}`", "95 % interval (paired t)", "seeds"]
        return [f"## Paired over seeds: {table.metric_unit}", "", *_grid(head, rows)] if rows else []

    def _others(self, table: Table) -> list[str]:
        names = sorted(
            {
                key
                for values in table.others.values()
                for key in values
                if not key.startswith(("personalized/", "global/"))
                and key != f"test/{table.metric}"
                and _part(key) is None
            }
        )
        names += sorted(
            {key for values in table.others.values() for key in values if key.startswith(("personalized/", "global/"))}
        )
        rows = [
            [escape(name), *(show_quality(values.get(key)) for key in names)]
            for name, values in table.others.items()
            if values
        ]
        return ["## Other metrics, mean over seeds", "", *_grid(["contender", *names], rows)] if names else []

    def _parts(self, table: Table) -> list[str]:
        """A grid for every metric that has parts and every split: contenders by parts."""
        found: dict[tuple[str, str], set[str]] = {}
        for key in {key for values in table.others.values() for key in values}:
            if part := _part(key):
                found.setdefault((part[1], part[0]), set()).add(part[2])
        lines = []
        for (metric, split), parts in sorted(found.items()):
            names = sorted(parts)
            keys = [f"{split}/{metric}/{part}" for part in names]
            rows = [
                [escape(name), *(show_quality(values.get(key)) for key in keys)]
                for name, values in table.others.items()
                if values.keys() & set(keys)
            ]
            head = ["contender", *map(escape, names)]
            lines += ["", f"## `{metric}` by part, {split}, mean over seeds", "", *_grid(head, rows)]
        return lines

    def _setup(self, table: Table) -> list[str]:
        sections = ("task", "partitioner", "federation", "training", "evaluation", "attack", "sweep")
        shown = [name for name in sections if name in table.setup]
        lines = ["## Set-up", "", *(f"- {name}: {escape(_flat(table.setup[name]))}" for name in shown)]
        lines.append("- contenders:")
        lines += [
            f"  - {escape(name)}: {escape(_flat({k: v for k, v in one.items() if k != 'name'}))}"
            for name, one in table.setup["contender"].items()
        ]
        lines.append("- data, by sha256:")
        lines += [f"  - {escape(name)}: `{sha256}`" for name, sha256 in table.data.items()]
        return [*lines, "- software, processor and wall-clock: `environment.json`, `timing.csv`"]


def _part(key: str) -> tuple[str, str, str] | None:
    """Split, metric and part of what one part of a metric is recorded under, or None."""
    split, _, rest = key.partition("/")
    metric, _, part = rest.partition("/")
    return (split, metric, part) if split in {"valid", "test"} and part else None


def _flat(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(
            f"{key} {_flat(one)}" if not isinstance(one, Mapping) else f"{key} ({_flat(one)})"
            for key, one in value.items()
            if one not in (None, {}, "")
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_flat, value)) + "]"
    return str(value)


@hookimpl
def register_table_formats() -> list[TableFormatSpec]:
    return [TableFormatSpec(name="markdown", summary="The table for people.", build=Markdown, filename="table.md")]
