"""``l2o-tui bench``: what it prints; how fast anything is, is not for a test.

In processes of their own: the JAX peer, if installed, starts threads.
"""

import json
from pathlib import Path

import pytest

from tests.tui.conftest import spawn

SMALL = ("--seconds=0.2", "--set=network.hidden=3", "--set=network.layers=1", "--set=unroll.steps=4")


def test_bench_prints_every_backend_with_its_ratio_to_torch() -> None:
    result = spawn("bench", "--json", "--seeds=2", *SMALL)
    assert result.code == 0
    rates = {document["name"]: document for document in map(json.loads, result.out.splitlines())}
    assert {"torch", "fused", "fused, 2 seeds"} <= set(rates)
    assert -1 < rates.pop("health")["share_of_cpu_time"] < 10  # how much it is, is not for a test
    assert rates["torch"]["ratio"] == 1
    for rate in rates.values():
        assert 0 < rate["least"] <= rate["median"] <= rate["greatest"]


def test_the_table_says_what_was_measured() -> None:
    result = spawn("bench", *SMALL)
    assert result.code == 0
    heading, *lines = result.out.splitlines()
    assert "log30, float32" in heading
    assert [line.split()[0] for line in lines][:2] == ["torch", "fused"]
    assert lines[-1].startswith("looking at the run's health takes")


def test_a_preset_that_trains_nothing_is_refused() -> None:
    result = spawn("bench", "--preset", "baselines")
    assert (result.code, result.out) == (2, "")
    assert "trains no network" in result.err


def test_a_backend_that_cannot_take_it_is_told_and_the_other_measured() -> None:
    wide = '--set=inputs={kind="log_and_sign"}'
    result = spawn("bench", "--json", *SMALL, wide)
    assert result.code == 0
    assert {json.loads(line)["name"].partition(",")[0] for line in result.out.splitlines()} == {"torch"}
    assert 'backend "fused" cannot run this experiment: the kernel takes one number a coordinate' in result.err
    assert 'backend "coordinatewise" cannot run this experiment: it takes first-order meta-gradients only' in result.err


def test_many_coordinates_are_measured_on_images_that_are_made_and_beside_the_machine_s_own_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2O_DATA_DIR", str(tmp_path))
    sizes = ("problem.sizes=[1]", "network.hidden=2", "network.layers=1", "unroll.steps=4", "unroll.truncation=2")
    settings = [f"--set={one}" for one in sizes]
    result = spawn("bench", "--json", "--preset=dm_mnist", "--seconds=0.2", *settings)
    assert result.code == 0, result.err
    *rates, share = map(json.loads, result.out.splitlines())
    assert {rate["name"] for rate in rates} >= {"torch", "coordinatewise"}
    assert "sgemm 1024" not in {rate["name"] for rate in rates}
    assert 0 < share["share_of_sgemm"] < 10  # how much it is, is not for a test
    assert "mnist is not there: measured on images that were made for it" in result.err
    assert list(tmp_path.iterdir()) == []
