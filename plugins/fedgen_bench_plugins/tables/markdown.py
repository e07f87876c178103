"""`table.md`: for people: units, rounded, the best in bold, and notes on what the numbers are."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fedgen_bench import NoParams, TableFormatSpec, hookimpl, one_line
from fedgen_bench.authors.digits import decimals_of, show, show_bytes, show_every, show_in, show_percent

if TYPE_CHECKING:
    from fedgen_bench.authors.tables import Table

_HEAD = (
    "rank",
    "contender",
    "trainable",
    "quality",
    "95 % CI",
    "personalised",
    "worst decile",
    "rounds to target",
    "uplink to target",
    "uplink",
    "uplink per client-round",
    "downlink",
    "uplink saved",
    "status",
)
_LOWER_IS_BETTER = {  # of columns that are no metric
    "rounds_to_target_mean": True,
    "uplink_to_target_bytes": True,
    "uplink_total_bytes": True,
    "uplink_per_client_round_bytes": True,
    "downlink_total_bytes": True,
    "uplink_reduction_vs_full": False,
}
_BEGINNINGS = {"global": "the global model", "kept": "what the client kept"}
_WITHIN = (
    "- **within**: ranks, and what is bold, hold among rows of one `{}`; the others ran under other conditions, so "
    "that a better value may stand below."
)
_OWN = ("personalized_mean", "worst_decile_mean")
_OF_CLIENTS = ("personalized/", "kept/", "global/")
_BYTES = tuple(column for column in _LOWER_IS_BETTER if column.endswith("_bytes"))


def escape(text: str) -> str:
    """Text that stays text in Markdown and HTML."""
    return one_line(html.escape(text, quote=False)).replace("\\", "\\\\").replace("|", "\\|").replace("](", "]\\(")


def _grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'|'.join(' --- ' for _ in head)}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _best(table: Table, columns: Mapping[str, bool]) -> set[tuple[str, str]]:
    """Contender and column of the best values among rows that are ranked together; `columns` says where lower is."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in table.rows:
        if row["rank"] is not None:
            groups.setdefault(table.among.get(row["contender"], ""), []).append(row)
    found = set()
    for rows in groups.values():
        for column, lower in columns.items():
            values = [row[column] for row in rows if row[column] is not None]
            best = (min if lower else max)(values, default=None)
            found |= {(row["contender"], column) for row in rows if row[column] is not None and row[column] == best}
    return found


class Markdown:
    """The table for people."""

    def __init__(self, params: NoParams) -> None:
        self.params = params

    def render(self, table: Table) -> str:
        lines = [f"# {escape(table.title)}: suite `{table.suite}`, version {table.version}", ""]
        lines += _grid(_HEAD if not table.among else (_HEAD[0], "within", *_HEAD[1:]), self._rows(table))
        lines += [
            "",
            *self._notes(table),
            "",
            *_pictures(table),
            *_elsewhere(table),
            *self._paired(table),
            "",
            *self._extras(table),
            *self._others(table),
            *self._parts(table),
        ]
        lines += ["", *self._setup(table)]
        return "\n".join(lines).rstrip() + "\n"

    def _rows(self, table: Table) -> list[list[str]]:
        own = dict.fromkeys(_OWN, table.own.lower_is_better)
        best = _best(table, {"quality_mean": table.lower_is_better, **own, **_LOWER_IS_BETTER})

        def cells(row: Mapping[str, Any]) -> list[str]:
            def bold(column: str, text: str) -> str:
                return f"**{text}**" if (row["contender"], column) in best else text

            mean, std, low, high = (row[f"quality_{what}"] for what in ("mean", "std", "ci_low", "ci_high"))
            decimals = None if mean is None else decimals_of(mean, std)
            rounds = row["rounds_to_target_mean"]
            return [
                "–" if row["rank"] is None else str(row["rank"]),
                *([escape(table.among.get(row["contender"], "–"))] if table.among else []),
                escape(row["contender"]),
                "–"
                if row["trainable_params"] is None
                else f"{row['trainable_params']:,} ({show_percent(row['trainable_fraction'])})",
                bold("quality_mean", show(mean, decimals) + (f" ± {show(std, decimals)}" if std else "")),
                "–" if low is None else f"{show(low, decimals)} to {show(high, decimals)}",
                *(bold(column, show(row[column])) for column in _OWN),
                bold("rounds_to_target_mean", "–" if rounds is None else f"{rounds:.1f}"),
                *(bold(column, show_bytes(row[column])) for column in _BYTES),
                bold("uplink_reduction_vs_full", show_percent(row["uplink_reduction_vs_full"])),
                escape(row["status"]) + (f" ({row['n_seeds']} seeds)" if row["status"] == "incomplete" else ""),
            ]

        return [cells(row) for row in table.rows]

    def _notes(self, table: Table) -> list[str]:
        better = "Lower" if table.lower_is_better else "Higher"
        direction = "lower" if table.own.lower_is_better else "higher"
        seeds = ", ".join(map(str, table.seeds))
        if table.reference_seeds:
            seeds += f" (rows without a rank: {', '.join(map(str, table.reference_seeds))})"
        own, why = "the same metric", "other data"
        if table.reports_another:
            own, why = f"{table.own.unit} ({direction} is better)", "another metric, other data"
        notes = [
            (
                f"- **quality**: {table.metric_unit} on the task's test data, read once after the last round; "
                f"mean ± standard deviation over seeds {seeds}. {better} is better."
            ),
            (
                f"- **personalised**, **worst decile**: {own} on clients' own held-out tails, after {_steps(table)}; "
                "mean over the evaluated clients, and mean of the worst tenth of them. Not comparable with the quality "
                f"column: {why}."
            )
            if any(row[column] is not None for row in table.rows for column in _OWN)
            else "- **personalised**, **worst decile**: this suite evaluates no client's own data.",
            (
                f"- **target**: {table.followed.unit} of {show(table.target)} on the validation subset that is "
                f"evaluated {show_every(table.setup['evaluation'].get('every', 1))}; a dash where not every seed "
                "reached it."
            ),
            (
                "- **uplink**, **downlink**: booked lengths of the encoded messages, headers included, mean over "
                f"seeds. **uplink saved**: against `{table.full_model}`, per client-round."
            ),
            (
                "- Rows without a rank are references (no federation, all data in one place, no training), or are not "
                "comparable (see status)."
            ),
            *([_WITHIN.format(table.setup["sweep"]["axis"])] if table.among else []),
            *(f"- {line}" for line in table.notes.strip().splitlines()),
        ]
        return notes + [f"- {escape(name)}: {escape(reason)}" for name, reason in sorted(table.reasons.items())]

    def _paired(self, table: Table) -> list[str]:
        rows = []
        for name, found in table.paired.items():
            decimals = decimals_of(found.mean, (found.high - found.low) / 2)
            low, high = (show(one, decimals, sign="+") for one in (found.low, found.high))
            between = "–" if math.isnan(found.low) else f"{low} to {high}"
            rows.append([escape(name), show(found.mean, decimals, sign="+"), between, str(found.n)])
        head = ["contender", f"difference to `{table.reference}`", "95 % interval (paired t)", "seeds"]
        return [f"## Paired over seeds: {table.metric_unit}", "", *_grid(head, rows)] if rows else []

    def _extras(self, table: Table) -> list[str]:
        """A grid for every group of further columns, with what each of them is."""
        lines = []
        known = {one.key: one.lower_is_better for one in table.extras if one.lower_is_better is not None}
        best = _best(table, known)
        for group, found in itertools.groupby(table.extras, key=lambda one: one.group):
            extras = list(found)
            rows = [
                [
                    escape(row["contender"]),
                    *(
                        f"**{text}**" if (row["contender"], one.key) in best else text
                        for one in extras
                        for text in [show_in(row[one.key], one.unit)]
                    ),
                ]
                for row in table.rows
            ]
            lines += [f"## {group}", "", *_grid(["contender", *(one.label for one in extras)], rows), ""]
            lines += [*(f"- **{one.label}**: {one.told}" for one in extras), ""]
        return lines

    def _others(self, table: Table) -> list[str]:
        names = sorted(
            {
                key
                for values in table.others.values()
                for key in values
                if not key.startswith(_OF_CLIENTS) and key != f"test/{table.metric}" and _part(key) is None
            }
        )
        names += sorted({key for values in table.others.values() for key in values if key.startswith(_OF_CLIENTS)})
        rows = [
            [escape(name), *(show(values.get(key)) for key in names)] for name, values in table.others.items() if values
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
                [escape(name), *(show(values.get(key)) for key in keys)]
                for name, values in table.others.items()
                if values.keys() & set(keys)
            ]
            head = ["contender", *map(escape, names)]
            lines += ["", f"## `{metric}` by part, {split}, mean over seeds", "", *_grid(head, rows)]
        return lines

    def _setup(self, table: Table) -> list[str]:
        sections = (
            *("task", "partitioner", "federation", "training", "evaluation"),
            *("personalization", "devices", "attack", "sweep"),
        )
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


def _pictures(table: Table) -> list[str]:
    """The drawings that are written beside the table."""
    shown = {
        "frontier.svg": f"{table.metric_unit} on test against the uplink of the whole run",
        "convergence.svg": f"{table.followed.unit} on the validation subset over rounds",
        "quality_vs_uplink.svg": f"{table.followed.unit} on the validation subset over the uplink so far",
    }
    if table.showcase:
        shown["samples.png"] = "what the contenders' global models generate, from the same noise"
    return ["## Pictures", "", *(line for name, what in shown.items() for line in (f"![{escape(what)}]({name})", ""))]


def _elsewhere(table: Table) -> list[str]:
    """Rows that were run in another environment than the reference, by environment."""
    if not table.elsewhere:
        return []
    names: dict[str, list[str]] = {}
    for name, where in table.elsewhere.items():
        names.setdefault(where, []).append(f"`{name}`")
    rows = [[escape(where), escape(", ".join(together))] for where, together in names.items()]
    said = f"These rows were not run where `{table.reference}` was; `environment.json` has both environments in full."
    return ["## Rows from other environments", "", said, "", *_grid(["environment", "rows"], rows), ""]


def _steps(table: Table) -> str:
    """How many steps clients take for themselves, and from where; under a sweep of it, as their rows say."""
    if way := table.setup.get("personalization"):
        if not way["steps"] and not any(one.get("personalization") for one in table.setup["contender"].values()):
            return f"no local step: it is {_BEGINNINGS[way['start']]} as it is"
        steps = _counted(table, "personalization.steps", way["steps"], "local steps")
        from_where = f"from {_BEGINNINGS[way['start']]} on their own data"
        return f"{steps} {from_where}, which [Set-up](#set-up) shows where contenders differ"
    usual = int(table.setup["evaluation"]["personalized_steps"])
    steps = _counted(table, "evaluation.personalized_steps", usual, "more local steps")
    return f"{steps} from the tensors that the method gives the client"


def _counted(table: Table, path: str, usual: int, what: str) -> str:
    """`8 local steps`; under a sweep of them `local steps (1 at x=1, 2 at x=2, 8 elsewhere)`."""
    points = table.setup.get("sweep", {}).get("point", ())
    at = {point["value"]: int(point["set"].get(path, usual)) for point in points}
    if set(at.values()) <= {usual}:
        return f"{usual} {what}"
    axis = table.setup["sweep"]["axis"]
    listed = ", ".join(f"{n} at {axis}={value:g}" for value, n in at.items())
    return f"{what} ({listed}, {usual} elsewhere)"


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
