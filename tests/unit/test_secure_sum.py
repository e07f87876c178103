"""Secure aggregation: keys against RFC 7748, sums to the bit, lost clients, booked bytes, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fedgen_bench_plugins.mechanisms import masking
from fedgen_bench_plugins.mechanisms.masking import HEAD_BYTES, Server, mask, packed, unpacked
from fedgen_bench_plugins.mechanisms.sealing import sealed, unsealed
from fedgen_bench_plugins.mechanisms.secure_sum import Params, SecureSum, _Session
from fedgen_bench_plugins.mechanisms.shamir import secret_of, shares_of
from fedgen_bench_plugins.mechanisms.x25519 import BASE, agreed

from fedgen_bench.base.errors import SuiteError
from fedgen_bench.cli.main import cli
from fedgen_bench.contract.mechanisms import Change, MechanismContext, Sampling
from fedgen_bench.contract.seeds import SeedTree
from fedgen_bench.federation.loader import Loader
from fedgen_bench.federation.release import Release
from fedgen_bench.registry.datasets import finder
from fedgen_bench.results.published import open_folder
from fedgen_bench.review.validation import validate
from fedgen_bench.run.dry_run import forecast
from fedgen_bench.suite.cells import expand
from fedgen_bench.testing import toy
from fedgen_bench.testing.simulation import Simulation

SEEDS = SeedTree("task", "adapter", "partitioner", "strategy", 1, "secure_sum")
SAMPLING = Sampling(population=40, cohort=5, rounds=3)
ASKED = (2, 7, 11, 30, 39)
CTX = MechanismContext(1, ASKED, SAMPLING, SEEDS)


def changes(answered=ASKED, size=0.05):
    random = torch.Generator().manual_seed(3)
    whole = {
        i: {"b": size * torch.randn(3, 4, generator=random), "a": size * torch.randn(7, generator=random)}
        for i in ASKED
    }
    return [Change(i, whole[i]) for i in answered]


@pytest.mark.parametrize(
    ("secret", "public", "both"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
        (BASE.hex(), BASE.hex(), "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
    ],
)
def test_keys_are_agreed_as_rfc_7748_has_it(secret, public, both):
    """Its test vectors, section 5.2."""
    assert agreed(bytes.fromhex(secret), bytes.fromhex(public)).hex() == both


def test_two_parties_agree():
    a, b = bytes(range(32)), bytes(range(32, 64))
    assert agreed(a, agreed(b, BASE)) == agreed(b, agreed(a, BASE))


def test_any_shares_up_to_the_threshold_give_the_secret_back_and_fewer_do_not():
    secret = bytes(range(100, 132))
    shares = shares_of(secret, 3, range(1, 6), [11**70, 13**60])
    for chosen in ((1, 2, 3), (5, 3, 1), (2, 4, 5), (1, 2, 3, 4, 5)):
        assert secret_of({place: shares[place] for place in chosen}) == secret
    assert secret_of({place: shares[place] for place in (1, 2)}) != secret


def test_a_sealed_share_is_read_by_its_receiver_and_told_when_it_was_changed():
    message = sealed(b"key", b"a share")
    assert unsealed(b"key", message) == b"a share"
    assert b"a share" not in message
    with pytest.raises(ValueError, match="was changed on its way"):
        unsealed(b"key", message[:-1] + bytes([message[-1] ^ 1]))


def plain_sum(mechanism, given):
    return sum(mechanism.quantised(one, CTX).astype(np.uint64) for one in given)


@pytest.mark.parametrize("answered", [ASKED, ASKED[1:], (2, 11, 30, 39), (2, 7, 39, 30)[:4]])
@pytest.mark.parametrize("params", [Params(), Params(bits=8, rounding="nearest"), Params(bits=24, bound=1.0)])
def test_the_sum_is_that_of_the_plain_numbers_to_the_bit_whoever_is_lost(params, answered):
    mechanism, given = SecureSum(params), changes(answered)
    session = _Session(mechanism._setting(19, CTX), CTX)
    for one in given:
        session.send(one.client_id, mechanism.quantised(one, CTX))
    total, n_answered = session.total()
    assert n_answered == len(answered)
    assert np.array_equal(total, plain_sum(mechanism, given))
    released = mechanism.release(None, iter(given), CTX).tensors
    plain = mechanism.restored(plain_sum(mechanism, given).astype(np.uint32), n_answered, given[0].tensors)
    assert all(torch.equal(released[name], plain[name]) for name in plain)
    assert list(released) == ["b", "a"]


def test_the_mean_is_right_within_a_step_and_stochastic_rounding_on_average():
    nearest = SecureSum(Params(bits=8, bound=0.1, rounding="nearest"))
    out = nearest.release(None, iter(changes(size=0.02)), CTX).tensors["a"]
    mean = sum(one.tensors["a"] for one in changes(size=0.02)) / 5
    assert float((out - mean).abs().max()) <= 0.1 / 255 + 1e-7
    third = [Change(i, {"a": torch.full((20_000,), 0.1 / 3 / 255)}) for i in ASKED]  # a sixth of a step above one
    stochastic = SecureSum(Params(bits=8, bound=0.1)).release(None, iter(third), CTX).tensors["a"]
    assert float(stochastic.mean()) == pytest.approx(0.1 / 3 / 255, abs=0.02 * 0.2 / 255)


def test_what_lies_beyond_the_bound_is_cut_to_it():
    far = [Change(i, {"a": torch.tensor([5.0, -5.0])}) for i in ASKED]
    assert SecureSum(Params(bound=0.25)).release(None, iter(far), CTX).tensors["a"].tolist() == [0.25, -0.25]


def test_what_the_server_sees_of_a_client_says_nothing_by_itself():
    mechanism = SecureSum(Params())
    seen = []
    for size in (0.0, 0.05):
        session = _Session(mechanism._setting(19, CTX), CTX)
        one = changes(size=size)[0]
        seen.append(session.clients[2].masked(session.boxes[2], mechanism.quantised(one, CTX)))
    vectors = [unpacked(message[HEAD_BYTES:], 3) for message in seen]
    numbers = [mechanism.quantised(changes(size=size)[0], CTX) for size in (0.0, 0.05)]
    assert not np.array_equal(vectors[0], numbers[0])
    # It is the numbers plus a mask that hangs on neither: of the same seed, so that a test can see it.
    assert np.array_equal((vectors[0] - vectors[1]) % 2**24, (numbers[0] - numbers[1]) % 2**24)
    assert np.unique(mask(b"seed", 4000) >> 24).size > 250


def test_too_few_answers_end_the_round():
    with pytest.raises(ValueError, match="3 of 5 clients answered in round 1, and 4 recover the masks"):
        SecureSum(Params()).release(None, iter(changes(ASKED[:3])), CTX)


@pytest.mark.parametrize("answered", [ASKED, (2, 11, 30, 39)])
@pytest.mark.parametrize("bits", [8, 16, 22])
def test_booked_lengths_are_those_of_the_messages_that_were_sent(answered, bits, monkeypatch):
    sent = {}

    def noted(cls, method, phase, way, of_client):
        original = getattr(cls, method)

        def call(self, *given):
            message = original(self, *given)
            found = message if isinstance(message, dict) else {getattr(self, "client_id", None): message}
            sent.update({(phase, way, one if of_client else None): len(text) for one, text in found.items()})
            return message

        monkeypatch.setattr(cls, method, call)

    for method, phase in (("keys", "keys"), ("shares", "shares"), ("masked", "masked"), ("unmask", "unmask")):
        noted(masking.Client, method, phase, "up", of_client=True)
    noted(Server, "roster", "keys", "down", of_client=False)
    noted(Server, "forwarded", "shares", "down", of_client=True)
    noted(Server, "survivors", "unmask", "down", of_client=False)
    mechanism = SecureSum(Params(bits=bits))
    mechanism.release(None, iter(changes(answered)), CTX)
    booked = {(one.phase, one.direction, one.client_id): one for one in mechanism.messages(19, answered, CTX)}
    assert len(booked) == 2 * 2 * 5 + 3 * len(answered)
    for (phase, way, client_id), entry in booked.items():
        length = sent.get((phase, way, client_id), sent.get((phase, way, None)))
        assert entry.encoded_bytes == length, (phase, way)
    (vector,) = {one.tensor_bytes for key, one in booked.items() if key[0] == "masked"}
    assert vector == 19 * {8: 2, 16: 3, 22: 4}[bits]


def test_numbers_are_packed_into_the_bytes_that_their_sums_need():
    numbers = np.array([1, 2**24 - 1, 2**20], np.uint32)
    assert packed(numbers, 3).hex() == "010000ffffff000010"
    assert unpacked(packed(numbers, 3), 3).tolist() == numbers.tolist()


def test_rounds_behind_it_book_its_messages_in_the_place_of_updates(registry):
    spec = registry.get("strategy", "fedgen_edge").spec
    release = Release(SecureSum(Params(bound=1.0, bits=24)), Sampling(5, 4, 2), carries=True)
    ours, theirs = (
        Simulation(spec, release=release).run(2),
        Simulation(spec, shards=[range(i, i + 12) for i in (0, 12, 24, 36, 48)]),
    )
    assert ours.n_clients == theirs.n_clients
    for this in ours.rounds:
        phases = {(one.phase, one.direction) for one in this.ledger}
        assert phases == {
            ("fit", "down"),
            *((phase, way) for phase in ("keys", "shares", "unmask") for way in ("up", "down")),
            ("masked", "up"),
        }
    equal = Simulation(spec, release=release, shards=[range(i, i + 12) for i in (0, 12, 24, 36, 48)]).run(2)
    assert torch.allclose(equal.function(), theirs.run(2).function(), atol=1e-6)  # equal weights, fine steps


def test_a_dry_run_tells_its_bytes_exactly(registry, toy_suite):
    suite = toy_suite('contender.fedgen_edge.mechanism={name="secure_sum"}')
    specs = expand(suite, registry, contenders=["fedgen_edge"], seeds=[1])
    (told,) = forecast(specs, Loader(registry, finder(registry)), torch.device("cpu"))
    mechanism = SecureSum(Params())
    sampling = Sampling(6, 3, 4)
    entries = list(mechanism.messages(3, (0, 1, 2), MechanismContext(0, (0, 1, 2), sampling, SEEDS)))
    up = sum(one.encoded_bytes for one in entries if one.direction == "up")
    assert told.up_bytes == 4 * up
    assert told.privacy is None  # it hides single changes; it does not make the sum differentially private


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("contender.fedgen_edge.strategy={name='krum'}",), "needs clients' own.*`fedavg`"),
        (("contender.fedgen_edge.strategy={name='trimmed_mean'}",), "Contender `fedavg` of this suite could have it"),
        (("contender.fedgen_edge.uplink=[{name='topk'}]",), "send no updates that `topk` could make smaller"),
        (("federation.max_update_norm=3.0",), "nobody sees a single update, so federation.max_update_norm = 3"),
        (
            ('devices={classes=[{name="a", share=1.0, flops=1e9, down=1e6, up=1e6}]}',),
            "clock of .devices. does not time",
        ),
        (("federation.clients_per_round=2",), "A sum over 2 clients gives them away"),
        (("contender.fedgen_edge.mechanism.params={bits=30}",), "bits must be from 2 to 24"),
        (("contender.fedgen_edge.mechanism.params={bound=0.0}",), "bound must be a finite number above 0"),
        (("contender.fedgen_edge.mechanism.params={threshold=0.5}",), "threshold must be above 0.5"),
    ],
)
def test_what_cannot_be_summed_securely_is_refused_before_training(toy_suite, overrides, words):
    with pytest.raises(SuiteError, match=words):
        toy_suite('contender.fedgen_edge.mechanism={name="secure_sum"}', *overrides)


def test_sums_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="take more than 32 bits"):
        SecureSum(Params(bits=24)).init(dataclasses.replace(SAMPLING, population=1000, cohort=300))


def test_a_published_folder_with_its_messages_is_in_order(made_once, registry):
    """Several messages of a client in a round, each in its phase; sums, curve and cohorts follow from them."""
    text = toy.SUITE.replace('name = "toy"\nversion', 'name = "sums"\nversion')
    mechanism = 'mechanism = { name = "secure_sum", params = { bound = 1.0 } }'
    text = text.replace("learning_rate = 0.1\n", f"learning_rate = 0.1\n{mechanism}\n", 1)

    def make(folder):
        (folder / "sums.toml").write_text(text)
        words = ["run", "--suite", str(folder / "sums.toml"), "--plugin", toy.__file__, "--contender", "fedgen_edge"]
        more = ["--seed", "1", "--runs", str(folder / "runs"), "--leaderboards", str(folder), "--jobs", "1"]
        done = CliRunner().invoke(cli, [*words, *more], catch_exceptions=False)
        assert done.exit_code == 0, done.output

    folder = made_once("sums", make) / "sums"
    problems = [one for one in validate(folder, registry).notices if one.problem]
    assert {one.group for one in problems} == {"completeness"}  # other contenders and seeds were not run
    (record,) = open_folder(folder).records
    assert record.bytes.up.messages == 4 * 3 * 4
    assert record.privacy is None
