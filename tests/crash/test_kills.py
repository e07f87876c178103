"""SIGKILL at every named point and at random: the resumed run ends with the bytes of one never killed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import crash_driver
import pytest

from fedgen_bench.base.killpoints import POINTS

N_RANDOM = 50
Outcome = tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture(scope="module")
def at_points(pool, untouched) -> dict[tuple[str, int], Future[Outcome]]:
    """Every point at its first, a middle and its last pass, two at a time."""
    return {
        (point, n): pool.submit(crash_driver.kill_and_resume, untouched.root, [(point, n)])
        for point in POINTS
        for count in [untouched.passes.get(point, 0)]
        for n in sorted({1, (count + 1) // 2, count} - {0})
    }


@pytest.fixture(scope="module")
def at_random(pool, untouched) -> list[tuple[list[tuple[str, float]], Future[Outcome]]]:
    """50 kills in 35 runs: at a random pass of a random point or at a random time, up to three in a row."""
    rng = random.Random(20)
    plans: list[list[tuple[str, float]]] = []
    while (left := N_RANDOM - sum(map(len, plans))) > 0:
        plan = []
        for _ in range(min(left, rng.choice((1, 1, 1, 2, 3)))):
            if rng.random() < 0.5:
                plan.append(("time", rng.uniform(0, 0.9 * untouched.seconds)))
            else:
                point = rng.choice(POINTS)
                plan.append((point, rng.randint(1, untouched.passes[point])))
        plans.append(plan)
    return [(plan, pool.submit(crash_driver.kill_and_resume, untouched.root, plan)) for plan in plans]


@pytest.mark.parametrize("point", POINTS)
def test_killpoints_every_point_is_passed(point, untouched):
    assert untouched.passes.get(point, 0) > 0


def test_killpoints_no_point_is_passed_that_is_not_listed(untouched):
    assert set(untouched.passes) == set(POINTS)


@pytest.mark.parametrize("point", POINTS)
def test_resume_after_a_kill_at_a_point_ends_byte_equal(point, at_points):
    found = {n: future.result() for (name, n), future in at_points.items() if name == point}
    assert found
    assert {n: (["killed"], []) for n in found} == found


def test_resume_after_random_kills_ends_byte_equal(at_random):
    found = [(plan, *future.result()) for plan, future in at_random]
    assert [(plan, wrong) for plan, _, wrong in found if wrong] == []
    n_killed = sum(how.count("killed") for _, how, _ in found)
    assert sum(len(how) for _, how, _ in found) == N_RANDOM
    assert n_killed > N_RANDOM // 2  # a resumed run is shorter, so that a late kill may come after its end


def test_resume_is_not_needed_when_the_run_is_finished(untouched):
    with crash_driver.scratch() as root:
        assert crash_driver.child(crash_driver.run_world, {"root": str(root)})[0] == "ok"
        kind, told = crash_driver.child(crash_driver.run_world, {"root": str(root)})
        assert (kind, told["rounds"], told["ended"]) == ("ok", {}, [])
        assert crash_driver.problems(root, untouched.root) == []
