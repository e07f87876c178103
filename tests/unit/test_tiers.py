import copy

import pytest

from fedgen_bench.base.environment import fingerprint
from fedgen_bench.results.tiers import tier

PUBLISHED = {
    "python": "3.11.7",
    "system": "Linux x86_64",
    "processor": "Old",
    "instruction_set": "AVX512",
    "device": "cpu",
    "accelerator": "",
    "threads": 1,
    "libraries": {"torch": "2.15.0", "numpy": "2.4.6"},
    "commit": "aaa",
}


def here(**changed):
    return copy.deepcopy(PUBLISHED) | changed


def test_tier_of_the_same_fingerprint_is_exact():
    found = tier(PUBLISHED, here())
    assert (found.name, found.reasons, found.notes) == ("exact", (), ())


def test_tier_of_this_process_against_itself_is_exact():
    assert tier(fingerprint("cpu", 1), fingerprint("cpu", 1)).name == "exact"


def test_tier_notes_processor_commit_and_libraries_that_were_not_recorded():
    libraries = PUBLISHED["libraries"] | {"pillow": "13.0.0"}
    found = tier(PUBLISHED, here(processor="New", commit="", libraries=libraries))
    assert (found.name, found.reasons) == ("exact", ())
    assert found.notes == (
        "processor Old published, New here",
        "commit aaa published, none here",
        "pillow not in the record, 13.0.0 here",
    )


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"instruction_set": "AVX2"}, "instruction set AVX512 published, AVX2 here"),
        ({"accelerator": "H100"}, "accelerator none published, H100 here"),
    ],
)
def test_tier_on_another_machine_is_band(changed, reason):
    found = tier(PUBLISHED, here(**changed))
    assert (found.name, found.reasons) == ("band", (reason,))


@pytest.mark.parametrize(
    ("theirs", "ours", "reason"),
    [
        ({"cohort": 4}, {}, "cohort 4 published, 1 here"),
        ({}, {"cohort": 2}, "cohort 1 published, 2 here"),
    ],
)
def test_tier_in_another_cohort_is_band(theirs, ours, reason):
    found = tier(here(**theirs), here(**ours))
    assert (found.name, found.reasons) == ("band", (reason,))
    assert tier(here(**theirs), here(**theirs)).name == "exact"


def test_cohort_of_one_is_not_in_the_fingerprint():
    assert "cohort" not in fingerprint("cpu", 1)
    assert fingerprint("cpu", 1, 4)["cohort"] == 4


def test_tier_on_another_device_of_the_same_kind_is_band():
    found = tier(here(device="cuda:0"), here(device="cuda:1"))
    assert (found.name, found.reasons) == ("band", ("device cuda:0 published, cuda:1 here",))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"libraries": {"torch": "2.14.1", "numpy": "2.4.6"}}, "torch 2.15.0 published, 2.14.1 here"),
        ({"libraries": {"numpy": "2.4.6"}}, "torch 2.15.0 published, none here"),
        ({"python": "3.12.1"}, "python 3.11.7 published, 3.12.1 here"),
        ({"system": "Darwin arm64"}, "system Linux x86_64 published, Darwin arm64 here"),
        ({"threads": 2}, "threads 1 published, 2 here"),
        ({"device": "cuda"}, "device cpu published, cuda here"),
    ],
)
def test_tier_under_other_software_threads_or_device_is_statistical(changed, reason):
    found = tier(PUBLISHED, here(**changed))
    assert (found.name, found.reasons) == ("statistical", (reason,))


def test_tier_of_a_changed_cell_is_statistical_and_every_reason_is_told():
    found = tier(PUBLISHED, here(instruction_set="AVX2"), ["precision bf16 published, fp32 here"])
    assert found.name == "statistical"
    assert found.reasons == ("precision bf16 published, fp32 here", "instruction set AVX512 published, AVX2 here")


def test_tier_takes_a_record_without_libraries_for_what_it_is():
    assert tier({}, here()).name == "statistical"
