"""What clients run on: drawn once for all contenders, and how long their part of a round takes."""

from __future__ import annotations

from collections import Counter

import pytest

from fedgen_bench.base.errors import DataError, PluginError, SuiteError
from fedgen_bench.contract.device_profiles import DeviceProfile
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.attaching import with_ranks
from fedgen_bench.federation.device_trace import read_trace
from fedgen_bench.federation.fleet import Fleet, fleet_of_classes, fleet_of_trace
from fedgen_bench.federation.loader import Loader
from fedgen_bench.registry.datasets import Places, finder
from fedgen_bench.suite.cellconfig import CellConfig
from fedgen_bench.suite.cells import expand
from fedgen_bench.suite.devices import DeviceClass, ResolvedDevices, classes_of
from fedgen_bench.testing.toy_models import low_rank_module

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1)
FAST = DeviceClass(name="fast", share=0.25, flops=100.0, down=50.0, up=10.0, latency=0.5, watts=2.0)
SLOW = DeviceClass(name="slow", share=0.75, flops=10.0, down=5.0, up=1.0, availability=0.6, leaving=0.3)
CLASS = '{name="%s", share=%s, flops=1e9, down=1e6, up=1e6}'
TWO = f"devices={{classes=[{CLASS % ('a', 0.5)}, {CLASS % ('b', '%s')}]%s}}"
HEAD = "client,since_s,step_s,down_bytes_s,up_bytes_s,available\n"


def fleet_with(*classes, n_clients=40, seeds=SEEDS, **more) -> Fleet:
    rest = {"profile": "", "trace": "", "first": None, "deadline": None, "local_steps": {}, "ranks": {}} | more
    return fleet_of_classes(ResolvedDevices(classes=classes, **rest), n_clients, seeds)


def test_classes_have_their_shares_and_chance_says_who_has_which():
    fleet = fleet_with(FAST, SLOW)
    names = [fleet.device(i).name for i in range(40)]
    assert Counter(names) == {"fast": 10, "slow": 30}
    assert names != sorted(names)
    others = [
        fleet_with(FAST, SLOW, seeds=SeedTree("task", "adapter", "partitioner", "strategy", 2)).device(i).name
        for i in range(40)
    ]
    assert others != names


def test_shares_that_do_not_divide_the_clients_are_rounded_to_them_all():
    third = [FAST.model_copy(update={"name": name, "share": 1 / 3}) for name in "abc"]
    assert sorted(Counter(fleet_with(*third, n_clients=10).of_client.tolist()).values()) == [3, 3, 4]


def test_contenders_share_devices_and_who_is_there():
    other = SeedTree("task", "another", "partitioner", "another", 1)
    ours, theirs = fleet_with(FAST, SLOW), fleet_with(FAST, SLOW, seeds=other)
    assert ours.of_client.tolist() == theirs.of_client.tolist()
    assert there(ours) == there(theirs)


def there(fleet):
    return [(fleet.is_available(r, i), fleet.leaves(r, i, 0.0, 1.0)) for r in range(9) for i in range(40)]


def test_availability_and_leaving_have_their_probabilities():
    fleet = fleet_with(SLOW.model_copy(update={"share": 1.0}))
    available, leaving = zip(*there(fleet), strict=True)
    assert sum(available) / 360 == pytest.approx(0.6, abs=0.08)
    assert sum(leaving) / 360 == pytest.approx(0.3, abs=0.08)
    assert all(fleet_with(FAST.model_copy(update={"share": 1.0})).is_available(r, 0) for r in range(20))


def test_durations_are_bytes_over_bandwidth_behind_the_latency_and_operations_over_speed():
    fleet = Fleet(devices=fleet_with(FAST).devices, of_client=fleet_with(FAST).of_client, seeds=SEEDS, step_flops=200.0)
    took = fleet.durations(0, 100, 3, 20)
    assert (took.download, took.work, took.upload) == (0.5 + 2, 6.0, 0.5 + 2)
    assert took.total == 11
    assert fleet.durations(0, 0, 3, 0).total == 6


def test_traces_say_what_devices_can_do_by_time(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text(HEAD + "0,0,2,10,5,1\n0,100,4,10,5,1\n0,200,4,10,5,0\n1,0,1,10,5,0\n", encoding="utf-8")
    fleet = fleet_of_trace(read_trace(path, 2), 2, SEEDS)
    first = next(i for i in range(2) if fleet.device(i).name == "client 0")
    assert fleet.durations(first, 20, 3, 10).total == 2 + 6 + 2
    assert fleet.durations(first, 20, 3, 10, at=100.0).work == 12
    assert fleet.is_available(0, first, 199.0)
    assert not fleet.is_available(0, first, 200.0)
    assert not fleet.is_available(0, 1 - first)
    assert fleet.leaves(0, first, 150.0, 60.0)
    assert not fleet.leaves(0, first, 150.0, 50.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("client,step_s\n", "has the columns `client`, `step_s`. It must have `client`, `since_s`"),
        (HEAD + "0,0,1,1,1\n", "line 2: it has 5 values for 6 columns. Fill the gap."),
        (HEAD + "0,0,,1,1,1\n", "line 2: `step_s` is empty. Fill the gap."),
        (HEAD + "0,0,-1,1,1,1\n", "line 2: `step_s` is '-1'. Write a number above 0."),
        (HEAD + "0,0,1,nan,1,1\n", "line 2: `down_bytes_s` is 'nan'. Write a number above 0."),
        (HEAD + "0,0,1,1,inf,1\n", "line 2: `up_bytes_s` is 'inf'."),
        (HEAD + "0,0,1,1,1,yes\n", "line 2: `available` is 'yes'. Write 0 or 1."),
        (HEAD + "x,0,1,1,1,1\n", "line 2: client 'x' is no whole number from 0 on."),
        (HEAD + "0,5,1,1,1,1\n", "line 2: client 0 begins at second 5. Begin it at second 0."),
        (HEAD + "0,0,1,1,1,1\n0,0,1,1,1,0\n", "line 3: client 0 goes back in time."),
        (HEAD + "0,0,1,1,1,1\n2,0,1,1,1,1\n", "has no row of client 1. Number its clients from 0 without a gap."),
        (HEAD + "0,0,1,1,1,1\n", "has 1 clients, the suite 2."),
    ],
)
def test_what_is_wrong_with_a_trace_is_told_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "trace.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"^Trace ") as told:
        read_trace(path, 2)
    assert said in str(told.value)


def test_a_trace_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_trace(tmp_path / "none.csv", 1)
    (tmp_path / "odd.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="no CSV file in UTF-8"):
        read_trace(tmp_path / "odd.csv", 1)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (TWO % ("0.4", ""), "Shares of the classes of devices add up to 0.9, not to 1."),
        (TWO.replace('"b"', '"a"') % ("0.5", ""), "Class `a` is there twice."),
        (TWO % ("0.5", ', profile="phones"'), "[devices] has `profile` and `classes` for what clients run on."),
        ("devices={deadline=3.0}", "[devices] has nothing for what clients run on."),
        ('devices={profile="phone"}', "Unknown device profile `phone`. Did you mean `phones`?"),
        (TWO % ("0.5", ", first=4"), "`first` (4) exceeds clients_per_round (3), who are asked."),
        (TWO % ("0.5", ", ranks={a=1}"), "Class `b` has no rank, others have."),
        (TWO % ("0.5", ", local_steps={c=1}"), "Unknown class of devices `c`."),
        (TWO % ("0.5", ", local_steps={a=7}"), "Class `a` takes 7 local steps, [training] has 2."),
        (TWO % ("0.5", ", deadline=-1.0"), "greater than 0"),
        (TWO % ("nan", ""), "share"),
    ],
)
def test_what_is_wrong_with_devices_is_told_in_one_sentence(toy_suite, override, said):
    with pytest.raises(SuiteError) as told:
        toy_suite(override)
    assert said in str(told.value)


def test_a_quorum_above_the_replies_that_end_a_round_is_told(toy_suite):
    with pytest.raises(SuiteError, match="A round ends with 1 replies, min_updates wants 2"):
        toy_suite("federation.min_updates=2", TWO % ("0.5", ", first=1"))


@pytest.mark.parametrize("text", ["classes = 3", "[[classes]]\nname = 'a'", "x ="])
def test_a_wrong_profile_is_its_plugins_fault(text):
    with pytest.raises(PluginError, match=r"^Profile `odd` \(odd.toml\)"):
        classes_of(DeviceProfile(name="odd", summary="", text=text, path="odd.toml"))


def test_the_profiles_that_come_along_are_whole(registry):
    profiles = registry.components["device_profile"]
    assert set(profiles) == {"phones", "single_board_computers", "phones_and_boards"}
    figures = {name: classes_of(one.spec) for name, one in profiles.items()}
    both = {one.name: one for name in ("phones", "single_board_computers") for one in figures[name]}
    for one in figures["phones_and_boards"]:
        assert one == both[one.name].model_copy(update={"share": both[one.name].share / 2})


def test_devices_are_in_a_cells_digest_with_all_their_figures(registry, toy_suite):
    plain = expand(toy_suite(), registry)[0]
    assert "devices" not in plain.config.to_json()
    phones = expand(toy_suite('devices={profile="phones"}'), registry)[0]
    table = phones.config.to_json()
    assert [one["name"] for one in table["devices"]["classes"]] == ["phone_high", "phone_mid", "phone_low"]
    assert CellConfig.from_json(table) == phones.config
    assert phones.digest != plain.digest


def test_a_traces_content_is_what_counts_not_its_path(registry, toy_suite, tmp_path):
    rows = HEAD + "".join(f"{i},0,1,1,1,1\n" for i in range(6))
    for name in ("one.csv", "same.csv"):
        (tmp_path / name).write_text(rows, encoding="utf-8")
    (tmp_path / "other.csv").write_text(rows.replace("5,0,1", "5,0,2"), encoding="utf-8")
    loader = Loader(registry, finder(registry, Places(beside=tmp_path)))
    specs = {
        name: loader.resolved(expand(toy_suite(f'devices={{trace="{name}.csv"}}'), registry)[0])
        for name in ("one", "same", "other")
    }
    assert specs["one"].identity == specs["same"].identity != specs["other"].identity
    assert loader.fleet(specs["one"]).device(0).states[0].step_seconds == 1
    with pytest.raises(DataError, match="There is no trace"):
        loader.resolved(expand(toy_suite('devices={trace="none.csv"}'), registry)[0])


def test_mixed_ranks_are_those_of_clients_devices():
    fleet = fleet_with(FAST, SLOW, ranks={"fast": 2, "slow": 1})
    adapted = with_ranks(low_rank_module((1, 2)), fleet)
    wanted = [2 if fleet.device(i).name == "fast" else 1 for i in range(40)]
    assert [max(pair.rank for pair in adapted.ranks_of(i)) for i in range(40)] == wanted
    assert with_ranks(low_rank_module((1, 2)), fleet_with(FAST, SLOW)).client_ranks == (1, 2)
    assert with_ranks(low_rank_module(()), fleet).client_ranks == ()
    with pytest.raises(PluginError, match="has rank 3, the adapter's highest is 2"):
        with_ranks(low_rank_module((1, 2)), fleet_with(FAST, SLOW, ranks={"fast": 3, "slow": 1}))
