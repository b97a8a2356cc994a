"""What is too large for the machine is refused with the numbers, before anything is allocated or made."""

import tracemalloc
from pathlib import Path

import pytest

from l2o_engine.live import pipeline, sizes
from l2o_engine.live.sizes import TooLargeError, admit, chunk_bytes, longest_chunk, needs_of
from l2o_engine.live.train import train
from l2o_engine.presets.files import check, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import NewRows
from l2o_engine.support.wording import duration_in_words, size
from tests.engine.tiny import of_kind, run, start, tiny_baselines, tiny_preset

GIB = 2**30
ORDINARY = check({"name": "ordinary"})


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 16 GiB free and two cores."""
    monkeypatch.setattr(sizes, "available_memory", lambda: (16 * GIB, "this machine"))
    monkeypatch.setattr("os.cpu_count", lambda: 2)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("settings", "what"),
    [
        (["network.hidden=1024", "network.layers=16", "run.seeds=1024"], "for the networks"),
        (["meta.batch=100000", "unroll.steps=2000", "run.backend=torch"], "for their unrolls"),
        (["problem.dims=10000", "unroll.steps=10000", "report.baseline_draws=10"], "for their unrolls"),
        (["problem.dims=10000", "meta.batch=100000"], "for results and draws"),
        (
            ["network.hidden=1024", "network.layers=16", "problem.dims=100", "unroll.steps=2", "validation.tasks=500"],
            "for their unrolls",
        ),
    ],
    ids=["seeds", "batch", "dims and steps", "draws", "validation"],
)
def test_it_is_refused_before_anything_is_allocated(settings: list[str], what: str, tmp_path: Path) -> None:
    preset = override(ORDINARY, settings)
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError) as refused:
            admit(preset)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
    message = str(refused.value)
    assert message.startswith("ordinary would need about ")
    assert what in message
    assert "; this machine has 17 GB free: " in message
    with pytest.raises(TooLargeError):
        train(preset, runs_dir=tmp_path / "runs")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_what_is_ordinary_needs_little(backend: str) -> None:
    needs = needs_of(ORDINARY, backend)
    assert needs.bytes < GIB
    assert needs.patience == ""
    assert admit(ORDINARY, backend) == needs
    assert admit(tiny_baselines()).bytes < GIB


def test_where_nothing_tells_what_is_free_nothing_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "available_memory", lambda: None)
    assert admit(override(ORDINARY, ["network.hidden=1024", "network.layers=16", "run.seeds=1024"])).bytes > 10**12


def test_any_number_of_draws_is_measured_in_little_memory() -> None:
    few, many = (needs_of(override(ORDINARY, [f"report.baseline_draws={n}"]), "fused").bytes for n in (1000, 1_000_000))
    assert many - few < GIB / 2


def test_the_first_result_s_time_is_told_where_it_is_long() -> None:
    slow = override(ORDINARY, ["report.baseline_draws=1000000", "unroll.steps=400"])
    assert needs_of(slow, "fused").patience.startswith("the first result will take about ")


@pytest.mark.parametrize("hidden", [1025, 10**9, 10**30])
def test_more_units_than_may_be_are_refused_with_the_memory_they_would_take(hidden: int) -> None:
    with pytest.raises(PresetError, match=r"hidden=\d+: must be at most 1024: the weights of one layer would take \d"):
        override(ORDINARY, [f"network.hidden={hidden}"])


# Chunks.


@pytest.mark.parametrize(
    "preset",
    [
        tiny_preset(),
        tiny_preset("meta.batch=100000"),
        tiny_preset("run.seeds=1024"),
        tiny_preset("problem.dims=10000"),
        tiny_baselines("problem.dims=10000"),
        tiny_baselines("unroll.steps=10000", "run.seeds=100"),
    ],
    ids=["tiny", "batch", "seeds", "dims", "baselines", "steps"],
)
def test_a_chunk_takes_little_memory_unless_one_meta_iteration_takes_much(preset: Preset) -> None:
    longest = longest_chunk(preset)
    assert 1 <= longest <= sizes.GREATEST_CHUNK
    assert longest * chunk_bytes(preset) <= max(2**28, chunk_bytes(preset))


def test_a_chunk_that_was_asked_for_is_no_longer_than_memory_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "longest_chunk", lambda _: 7)
    preset = tiny_preset("report.every=1000", "run.checkpoint_every=1000")
    events = list(start(tmp_path / "short", preset, chunk=1000).events())
    assert max(len(event.rows) for event in of_kind(events, NewRows)) == 7
    run(tmp_path / "long", tiny_preset("report.every=1000", "run.checkpoint_every=1000"))
    assert (tmp_path / "short/metrics.csv").read_bytes() == (tmp_path / "long/metrics.csv").read_bytes()


# Words.


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (7.3e9, "7.3 GB"),
        (9.96e9, "10 GB"),
        (64e18, "64 EB"),
        (6.4e22, "64,000 EB"),
    ],
)
def test_amounts_of_memory_in_words(amount: float, said: str) -> None:
    assert size(amount) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(25, "25 seconds"), (240, "4 minutes"), (3 * 86_400, "3 days"), (1e9, "32 years")]
)
def test_times_in_words(seconds: float, said: str) -> None:
    assert duration_in_words(seconds) == f"about {said}"
