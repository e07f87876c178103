"""Every figure of README and the page of results follows from a published folder: here is what should stand there."""

import importlib.util
import re
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import pytest

ROOT = Path(__file__).parents[2]
README, PAGE = (ROOT.joinpath(name).read_text(encoding="utf-8") for name in ("README.md", "docs/results.md"))
RESULTS = ("Penn Treebank", "CIFAR-10", "Devices that differ", "What leaks", "Other tables", "Which claims hold")
NAMES = r"(?i:CIFAR-?10)|SmolLM2-135M|arXiv 2511\.11585|0\.1\)"  # digits that are no figures
WORDS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 10: "ten", 12: "twelve"}

spec = importlib.util.spec_from_file_location("make_readme", ROOT / "docs" / "make_readme.py")
make_readme = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_readme)
Published = make_readme.Published


def test_tables_are_what_the_folders_say():
    for mark, content in make_readme.blocks().items():
        for page in (README, PAGE) if mark == "ptb-table" else (PAGE,):
            shown = page.split(f"<!-- {mark} -->\n")[1].split(f"\n<!-- /{mark} -->")[0]
            assert shown == content, f"{mark}: run `python docs/make_readme.py`"


def test_readme_fits_one_screen_and_its_links_lead_somewhere():
    assert len(README.splitlines()) < 80
    targets = re.findall(r"\]\((?!https?:)([^)#\s]+)", README)
    assert len(targets) > 12
    assert [one for one in targets if not (ROOT / one).exists()] == []


def test_readme_tells_who_leads_on_images():
    one = Published("cifar10")
    ranked = {name: row["rank"] for name, row in one.rows.items() if row["rank"]}
    assert ranked == {"prompt_tuning": 1, "fedgen_edge": 2, "fedavg_full": 3, "fedprox_full": 4}
    assert "On CIFAR-10 prompt tuning comes first and FedGen-Edge second, ahead of both full models." in flat(README)


def test_links_of_a_release_are_absolute():
    page = make_readme.absolute("![a](b/c.svg) [d](e.md#f) [g](https://h) [i](#j)", "https://k", "v1")
    assert page == "![a](https://k/raw/v1/b/c.svg) [d](https://k/blob/v1/e.md#f) [g](https://h) [i](#j)"


def seeds(one):
    return WORDS[len(one.table["seeds"])]


def federation(one):
    return one.table["setup"]["federation"]


def gap(one, contender):
    """By how much the reference is worse, with the ends of the paired interval, all above zero."""
    paired = one.table["paired"][contender]
    return -paired["mean"], -paired["high"], -paired["low"]


def quality(one, contender, digits=1):
    return f"{one.rows[contender]['quality_mean']:.{digits}f}"


def quality_lead(one, condition):
    """By how much FedGen-Edge's mean quality is ahead of FedAvg's under one condition of an ablation."""
    edge, full = (one.rows[f"{name}{condition}"] for name in ("fedgen_edge", "fedavg_full"))
    return full["quality_mean"] - edge["quality_mean"]


def gain(one, contender, model):
    """By how much clients' own models are better than the global one, in percent: a seed's clients are one figure.

    A client that was never asked kept the global model, and is left out.
    """
    means = []
    for record in one.records:
        if record["contender"] == contender:
            own, shared = (record["per_client"][of] for of in (model, "global"))
            gains = [100 * (1 - own[i] / shared[i]) for i in own if model != "kept" or own[i] != shared[i]]
            means.append(sum(gains) / len(gains))
    return sum(means) / len(means)


def of_ptb():
    one = Published("ptb")
    setup, edge, prox = one.table["setup"], one.shown["fedgen_edge"], one.shown["fedprox_full"]
    own, ahead = setup["personalization"], one.table["paired"]["fedavg_full"]
    yield f"{federation(one)['n_clients']} clients, Dirichlet(0.1) over topics, {seeds(one)} seeds"
    yield f"""{seeds(one).capitalize()} seeds ({WORDS[one.rows["frozen"]["n_seeds"]]} for reference rows), mean ± \
standard deviation; {one.minutes / 2:.0f} minutes on two busy cores. FedProx on the full model is best by \
{gap(one, "fedprox_full")[0]:.1f}. FedGen-Edge is second with a hundredth of the uplink, ahead of FedAvg on the full \
model by {ahead["mean"]:.1f} (paired 95 % interval {ahead["low"]:.1f} to {ahead["high"]:.1f}): to the target of \
{one.table["target"]:g} on the validation subset it sends {edge["uplink to target"].strip("*")} where FedProx sends \
{prox["uplink to target"]}."""
    gains = {name: gain(one, name, "personalized") for name, row in one.rows.items() if row["rank"]}
    assert min(gains.values()) > 0
    falls = [f"{gains[name]:.1f} %" for name in ("fedgen_edge", "fedavg_full", "fedprox_full", "prompt_tuning")]
    yield f"""{WORDS[own["clients"]].capitalize()} clients a seed then go on by themselves, {own["steps"]} steps from \
the global model at rates tuned for that: perplexity on their own held-out text falls by {falls[0]} with FedGen-Edge, \
{falls[1]} with FedAvg, {falls[2]} with FedProx and {falls[3]} with prompt tuning."""
    yield f"is on average {-gain(one, 'fedgen_edge', 'kept'):.1f} % worse than the global one"


def of_smollm2():
    one = Published("ptb-smollm2")
    edge, full, setup = one.shown["fedgen_edge"], one.rows["fedavg_full"], one.table["setup"]
    sent = float(edge["uplink per client-round"].split()[0])
    size = setup["training"]["local_steps"] * setup["training"]["batch_size"] * setup["task"]["params"]["block_tokens"]
    tokens = size * federation(one)["rounds"] * federation(one)["clients_per_round"]
    per_round = WORDS[federation(one)["clients_per_round"]]
    yield f"""with {full["trainable_params"] / 1e6:.1f} M parameters ({federation(one)["n_clients"]} clients, \
{WORDS[federation(one)["rounds"]]} rounds of {per_round}, {seeds(one)} seeds, {one.minutes:.0f} minutes of processes"""
    yield f"""{tokens // 1000},000 tokens take perplexity from {quality(one, "frozen", 0)} (frozen) to \
{quality(one, "fedgen_edge")} with FedGen-Edge, which sends {sent:.1f} MB a client-round, \
and to {quality(one, "fedavg_full")} with FedAvg on the full model, which sends \
{one.shown["fedavg_full"]["uplink per client-round"]}."""
    low, high = (one.table["paired"]["fedavg_full"][end] for end in ("low", "high"))
    yield f"after the same rounds ({-gap(one, 'fedavg_full')[0]:.1f}, 95 % interval {low:.1f} to {high:+.2f})"
    yield f"Prompt tuning ends at {quality(one, 'prompt_tuning', 0)}."
    before, after = (
        [f"{one.mean(name, f'{of}/perplexity_per_word/mean'):.0f}" for name in ("fedgen_edge", "fedavg_full")]
        for of in ("global", "personalized")
    )
    yield f"(FedGen-Edge from {before[0]} to {after[0]}, FedAvg from {before[1]} to {after[1]})"


def of_cifar10():
    one = Published("cifar10")
    names = ("prompt_tuning", "fedgen_edge", "fedavg_full", "frozen")
    recognised = [f"{one.mean(name, 'test/class_accuracy'):.1f} %" for name in names]
    cats = [f"{one.mean(name, 'test/fid_by_class_cifarnet/cat'):.1f}" for name in reversed(names)]
    planes = [f"{one.mean(name, 'test/fid_by_class_cifarnet/airplane'):.1f}" for name in reversed(names)]
    yield f"from {federation(one)['n_clients']} clients, Dirichlet(0.1) over classes, {seeds(one)} seeds"
    yield f"""{seeds(one).capitalize()} seeds ({WORDS[one.rows["frozen"]["n_seeds"]]} for reference rows), mean ± \
standard deviation; {one.minutes / 2:.0f} minutes on two busy cores."""
    full, prompt, taken = (one.table["paired"][name] for name in ("fedavg_full", "prompt_tuning", "frozen"))
    saved = one.shown["fedgen_edge"]["uplink saved"].strip("*")
    yield f"""FedGen-Edge takes {taken["mean"]:.2f} off the frozen model's FID. It is ahead of FedAvg by \
{full["mean"]:.2f} (paired 95 % interval {full["low"]:.2f} to {full["high"]:.2f}) with {saved} less uplink, and behind \
prompt tuning by {-prompt["mean"]:.2f} ({-prompt["high"]:.2f} to {-prompt["low"]:.2f}), which sends \
{one.shown["prompt_tuning"]["uplink per client-round"].strip("*")} a client-round."""
    yield f"""recognises {recognised[0]} of prompt tuning's images as what they should be, {recognised[1]} of \
FedGen-Edge's, {recognised[2]} of FedAvg's and {recognised[3]} of the frozen model's (ten classes)"""
    yield f"""(cats: {cats[0]} frozen, {cats[1]} FedAvg, {cats[2]} FedGen-Edge, {cats[3]} prompt tuning; airplanes: \
{planes[0]}, {planes[1]}, {planes[2]}, {planes[3]})"""
    leads = [quality_lead(Published("cifar10-alpha"), f"@alpha={value}") for value in ("10", "0.03")]
    yield f"""by {leads[0]:.2f} at Dirichlet alpha 10, {full["mean"]:.2f} at 0.1 and {leads[1]:.2f} at 0.03"""
    ranks = Published("cifar10-rank")
    at = {n: f"fedgen_edge@rank={n}" for n in (1, 8, 64)}
    sent = {n: ranks.shown[name]["uplink per client-round"].strip("*") for n, name in at.items()}
    yield f"""rank 1 ends at {quality(ranks, at[1], 2)} and sends {sent[1]} a client-round, rank 8 at \
{quality(ranks, at[8], 2)} with {sent[8]}, rank 64 at {quality(ranks, at[64], 2)} with {sent[64]}"""
    long = Published("cifar10-epochs")
    ends = [quality(long, f"{name}@epochs={n}", 2) for n in (10, 1) for name in ("fedavg_full", "fedgen_edge")]
    assert federation(long)["n_clients"] == 800
    yield f"""with 800 small clients and ten local epochs it ends at {ends[0]} and FedGen-Edge at {ends[1]}, with one \
at {ends[2]} and {ends[3]}"""


def of_devices():
    one = Published("ptb-edge")
    setup, shown = one.table["setup"], make_readme.all_shown(one)
    deadline, names = setup["devices"]["deadline"], ("fedgen_edge", "fedprox_full", "fedavg_full", "fedbuff")
    edge, prox, full, buff = (shown[name] for name in names)
    yield f"a round ends after {deadline:g} simulated seconds, {seeds(one)} seeds"
    mean, low, high = gap(one, "fedprox_full")
    yield f"""FedProx, whose slow clients do fewer steps, ends {mean:.1f} ahead of FedGen-Edge (paired 95 % interval \
{low:.1f} to {high:.1f}), after {prox["simulated time"]} against {edge["simulated time"]} and with \
{energy(prox) / energy(edge):.1f} times the energy."""
    ahead = one.table["paired"]["fedavg_full"]
    yield f"""FedAvg, which never hears the slowest, ends {ahead["mean"]:.1f} behind it ({ahead["low"]:.1f} to \
{ahead["high"]:.1f}) and sends {full["wasted bytes"]} in vain."""
    late = one.table["paired"]["fedbuff"]["mean"]
    yield f"FedBuff, which waits for nobody, is done after {buff['simulated time']}, {late:.1f} behind."


def of_leaks():
    one = Published("ptb-privacy")
    setup, shown = one.table["setup"], make_readme.all_shown(one)
    secrets, sizes = setup["task"]["params"]["canaries"], federation(one)
    yield f"Sentences that {WORDS[secrets['count']]} clients a seed hold"
    yield "8 of 8 is the first of 256, 1.44 is chance"
    yield f"""{sizes["clients_per_round"]} of {sizes["n_clients"]} clients in each of {WORDS[sizes["rounds"]]} rounds, \
{seeds(one)} seeds"""
    names = ("fedgen_edge", "fedavg_full")
    edge, full = (one.rows[name] for name in names)
    yield f"end alike ({quality(one, names[0])} and {quality(one, names[1])})"
    (control,) = {f"{row['calibrated_control']:.1f}" for row in (edge, full)}
    yield f"""hardly more than chance does ({edge["calibrated_global"]:.1f} and {full["calibrated_global"]:.1f} bits, \
controls {control})"""
    yield f"""A single update gives away {edge["calibrated_update"]:.1f} and {full["calibrated_update"]:.1f} bits, an \
owner's own model after {setup["personalization"]["steps"]} steps {edge["calibrated_own"]:.1f} \
and {full["calibrated_own"]:.1f}."""
    decided = {line["compared"]: line for line in make_readme.grids(one.text("claims.md").split("\n## 9. ")[1])[0]}
    shared, update = (decided[f"exposure, {of} (bits)"] for of in ("the global model", "a single update"))
    assert (shared["outcome"], update["outcome"]) == ("better", "undecided")
    ours, theirs = bits(shared), bits(update)
    yield f"""{seeds(one).capitalize()} seeds decide for the adapter in the global model ({ours[0]} bits, paired 95 % \
interval {ours[1]} to {ours[2]}), not in single updates ({theirs[0]}, {theirs[1]} to {theirs[2]})."""
    costs = [one.rows[f"{name}_dp"]["quality_mean"] - one.rows[name]["quality_mean"] for name in names]
    yield f"""Noise for an epsilon of {float(shown["fedgen_edge_dp"]["epsilon"]):.1f} costs FedGen-Edge {costs[0]:.1f} \
of perplexity and FedAvg {costs[1]:.1f}, all that they gained on the backbone ({quality(one, "frozen")})"""
    assert min(one.rows[f"{name}_dp"]["quality_mean"] for name in names) > one.rows["frozen"]["quality_mean"]


def of_hostile_clients():
    one = Published("ptb-byzantine")
    setup = one.table["setup"]
    assert setup["attack"] == {"name": "sign_flip", "params": {"strength": 3.0}, "fraction": 0.2}
    ends = defaultdict(list)
    for record in one.records:
        ends[record["contender"]].append(record["metrics"]["test/perplexity_per_word"])
    frozen = one.rows["frozen"]["quality_mean"]
    assert max(*ends["median"], *ends["trimmed_mean"]) < frozen < min(*ends["fedgen_edge"], *ends["krum"])
    low, high = min(ends["fedgen_edge"]), max(ends["fedgen_edge"])
    yield f"""makes it {setup["attack"]["params"]["strength"]:g} times as large. On FedGen-Edge's adapter the \
coordinate-wise median ends at {quality(one, "median")} and the trimmed mean at {quality(one, "trimmed_mean")}, in \
every one of {seeds(one)} seeds below the frozen model ({frozen:.1f}), where averaging never is ({low:.1f} to \
{high:.1f})."""
    low, high = min(ends["fedavg_full"]), max(ends["fedavg_full"])
    yield f"""Krum, which takes one client's update, ends at {quality(one, "krum")}, FedAvg on the full model between \
{low:.1f} and {high:.1f}."""
    broken = [sum(end > 1.2 * frozen for end in ends[name]) for name in ("fedgen_edge", "fedavg_full")]
    assert broken == [1, 1]


def bits(line):
    """An advantage and the ends of its interval, with two decimals."""
    return [f"{float(one):.2f}" for one in (line["advantage"], *line["95 % interval"].split(" to "))]


def energy(row):
    """In joules."""
    value, unit = row["energy in all"].strip("*").split()
    return float(value) * {"J": 1, "kJ": 1000}[unit]


def of_other_tables():
    zoo, book, small = Published("ptb-lora-zoo"), Published("beige-book"), Published("ptb-compression")
    names = {
        "fedex_lora": "FedEx-LoRA", "fedgen_edge": "FedGen-Edge", "flexlora": "FlexLoRA", "hetlora": "HetLoRA",
        "flora": "FLoRA", "rolora": "RoLoRA", "ffa_lora": "FFA-LoRA",
    }  # fmt: skip
    ranked = sorted(names, key=lambda name: zoo.rows[name]["quality_mean"])
    yield ", ".join(f"{names[name]} {quality(zoo, name)}" for name in ranked) + "."
    down = {name: float(zoo.shown[name]["downlink"].strip("*").split()[0]) for name in names}
    yield f"""The exact methods pay on the downlink: {down["fedex_lora"]:.0f} MB (FedEx-LoRA) and \
{down["flora"]:.0f} MB (FLoRA) against {down["fedgen_edge"]:.0f} MB."""
    different = {name for name in names if (at := zoo.table["paired"].get(name)) and at["low"] * at["high"] > 0}
    yield f"Paired over {seeds(zoo)} seeds only {' and '.join(names[n] for n in ranked if n in different)} differ"
    yield "Beige Book reports of 2005 to 2020"
    four = [("FedProx", "fedprox_full"), ("FedAvg", "fedavg_full"), ("FedGen-Edge", "fedgen_edge")]
    ends = ", ".join(f"{name} {quality(book, of)}" for name, of in four)
    yield f"{ends}, prompt tuning {quality(book, 'prompt_tuning')}, {seeds(book)} seeds."
    mean, low, high = gap(book, "fedavg_full")
    yield f"FedGen-Edge is behind FedAvg by {mean:.2f} (paired 95 % interval {low:.2f} to {high:.2f})"
    gains = [
        f"by {gain(book, of, 'personalized'):.1f} % with {name} to {book.rows[of]['personalized_mean']:.1f}"
        for of, name in (("fedgen_edge", "FedGen-Edge"), ("fedavg_full", "FedAvg"), ("fedprox_full", "FedProx"))
    ]
    for one in book.records:
        if one["contender"] in ("fedgen_edge", "fedavg_full", "fedprox_full"):
            owns, shared = (one["per_client"][of] for of in ("personalized", "global"))
            assert all(owns[i] < shared[i] for i in owns)
    own = book.table["setup"]["personalization"]
    yield f"by {own['steps']} steps of its own: perplexity on its own text falls {', '.join(gains)}."
    alone = [fmean(one["per_client"]["kept"].values()) for one in book.records if one["contender"] == "local_only"]
    yield f"LoRA that a district trains alone, as many rounds long, has {fmean(alone):.1f}."
    cost = {name: row["quality_mean"] - small.rows["fedgen_edge"]["quality_mean"] for name, row in small.rows.items()}
    sent = {name: row["uplink per client-round"].strip("*") for name, row in small.shown.items()}
    full = small.rows["fedavg_full_int8"]["quality_mean"] - small.rows["fedavg_full"]["quality_mean"]
    assert max(map(abs, (cost["fedgen_edge_fp16"], cost["fedgen_edge_int8"], full))) < 0.02
    yield "change perplexity by less than 0.02"
    yield f"halve FedGen-Edge's uplink ({sent['fedgen_edge_fp16']} a client-round)"
    yield f"""a tenth of the entries in eight bits costs {cost["fedgen_edge_top10_int8"]:.1f} and sends \
{float(sent["fedgen_edge_top10_int8"].split()[0]):.0f} kB, a hundredth costs {cost["fedgen_edge_top1_int8"]:.1f} and \
sends {sent["fedgen_edge_top1_int8"]}."""


SENTENCES = [
    sentence
    for read in (of_ptb, of_smollm2, of_cifar10, of_devices, of_leaks, of_other_tables, of_hostile_clients)
    for sentence in read()
]


def flat(text):
    """On one line, without links' targets."""
    return " ".join(re.sub(r"\]\([^)]*\)", "]", text).split())


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda one: one[:40])
def test_sentence_follows_from_its_folder(sentence):
    assert flat(sentence) in flat(PAGE)


@pytest.mark.parametrize(("page", "heading"), [(README, "What comes out"), *((PAGE, one) for one in RESULTS)])
def test_no_figure_is_left_out(page, heading):
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    section = re.sub(r"<!-- ([\w-]+) -->.*?<!-- /\1 -->|^```.*?^```", "", section, flags=re.MULTILINE | re.DOTALL)
    left = re.sub(r"`[^`]*`|" + NAMES, "", flat(section))
    for sentence in sorted((re.sub(r"`[^`]*`|" + NAMES, "", flat(one)) for one in SENTENCES), key=len, reverse=True):
        left = left.replace(sentence, "")
    assert re.findall(r"\S*\d\S*", left) == [], left
