"""The pipeline: chunks in their order, a chunk ahead, and states that are those of what was collected."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from threading import Event as Flag
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends.choose import choose
from l2o_engine.live import pipeline as pipelines
from l2o_engine.live import preparing
from l2o_engine.live.pipeline import Pipeline
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import ShowDraws
from l2o_engine.training.trainer import Chunk
from tests.engine.tiny import INPUTS, tiny_baselines, tiny_preset

REPLICATES = tiny_preset("run.seeds=3", INPUTS["adaptive log"])
# Of its replicates some overflow, at different meta-iterations, and some do not.
OVERFLOWING = tiny_preset("problem.scale=[0.5, 4e18]", "meta.non_finite=stop", "run.seeds=6")


@contextmanager
def opened(
    preset: Preset = REPLICATES,
    *,
    executor: Executor | None = None,
    chunk: int | None = 4,
    sign_of_life: Callable[[], None] = lambda: None,
) -> Iterator[Pipeline]:
    backend = choose(preset.experiment, "torch").load()[0] if preset.kind == "meta-training" else None
    pipeline = Pipeline(executor, chunk, sign_of_life)
    pipeline.open(preset, backend)
    try:
        yield pipeline
    finally:
        pipeline.close()


def losses(chunks: list[Chunk]) -> list[Any]:
    return [chunk.results.losses for chunk in chunks]


class AsAsked(Executor):
    """Does what it is given at once, or, where that is asked for, when it is told to."""

    def __init__(self) -> None:
        self.waits = False
        self.waiting: list[Callable[[], None]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()

        def do() -> None:
            future.set_result(fn(*args, **kwargs))

        if self.waits:
            self.waiting.append(do)
        else:
            do()
        return future


@pytest.mark.parametrize("preset", [REPLICATES, tiny_baselines("run.seeds=2")], ids=["RNN", "baselines"])
def test_a_chunk_is_what_was_launched_and_ends_where_it_has_to(preset: Preset) -> None:
    with opened(preset) as pipeline:
        ends, ahead = [pipeline.iteration], [pipeline.is_ahead]
        for until in (10, 10, 10, 11):
            pipeline.launch(until)
            ahead.append(pipeline.is_ahead)
            chunks = pipeline.collect()
            ahead.append(pipeline.is_ahead)
            assert sorted({chunk.lane.seed for chunk in chunks}) == list(preset.seeds)
            ends.append(pipeline.iteration)
        assert ends == [-1, 3, 7, 10, 11]
        assert ahead == [False, *[True, False] * 4]


def test_the_states_are_those_of_what_was_collected_whatever_is_computed_already() -> None:
    with opened(executor=AsAsked()) as pipeline:
        pipeline.launch(10)
        pipeline.collect()
        before = dict(pipeline.states)
        shown = pipeline.base_losses(1, ShowDraws(2))().losses
        pipeline.launch(10)  # it is computed at once
        assert pipeline.states == before
        assert pipeline.iteration == 3
        for name, values in pipeline.base_losses(1, ShowDraws(2))().losses.items():
            assert_array_equal(values, shown[name])
        pipeline.collect()
        assert pipeline.iteration == 7
        assert not np.array_equal(pipeline.base_losses(1, ShowDraws(2))().losses["RNN"], shown["RNN"])


def test_who_loads_the_states_goes_on_as_the_saved_one_would_have() -> None:
    with opened() as one, opened() as other:
        one.launch(3)
        one.collect()
        other.load(one.states)
        assert other.iteration == 3
        for pipeline in (one, other):
            pipeline.launch(7)
        for ours, theirs in zip(losses(one.collect()), losses(other.collect()), strict=True):
            assert_array_equal(ours, theirs)


def test_replicates_that_have_diverged_are_left_behind() -> None:
    with opened(OVERFLOWING, chunk=1) as pipeline:
        computed = []
        for iteration in range(13):
            pipeline.launch(iteration)
            computed.append([chunk.lane.seed for chunk in pipeline.collect()])
            assert pipeline.iteration == iteration
        assert 0 < len(pipeline.diverged) < 6
        assert not pipeline.is_stuck
        assert computed[0] == list(OVERFLOWING.seeds)
        assert computed[-1] == [seed for seed in OVERFLOWING.seeds if seed not in pipeline.diverged]


def test_where_all_have_diverged_the_iteration_is_the_furthest() -> None:
    with opened(tiny_preset("problem.scale=[1e30, 1e30]", "meta.non_finite=stop", "run.seeds=2")) as pipeline:
        pipeline.launch(9)
        pipeline.collect()
        assert pipeline.is_stuck
        assert pipeline.diverged == [0, 1]
        assert pipeline.iteration == 0


def test_chunks_grow_to_the_length_that_a_command_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds_each = pipelines.CHUNK_SECONDS / 20
    advance = pipelines.advance
    monkeypatch.setattr(pipelines, "advance", lambda trainer, n: (*advance(trainer, n)[:2], n * seconds_each))
    lengths = []
    with opened(tiny_preset(), executor=AsAsked(), chunk=None) as pipeline:
        for _ in range(7):
            pipeline.launch(10_000)
            lengths.append(len(pipeline.collect()[0].results))
    assert lengths == [1, 2, 4, 8, 16, 20, 20]


def test_whoever_waits_for_a_chunk_gives_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    signs: list[int] = []
    executor = AsAsked()

    def sign() -> None:
        signs.append(pipeline.iteration)
        if len(signs) == 3:
            executor.waiting.pop()()

    monkeypatch.setattr(preparing, "SIGN_SECONDS", 0.01)
    with opened(tiny_preset(), executor=executor, sign_of_life=sign) as pipeline:
        executor.waits = True
        pipeline.launch(10)
        pipeline.collect()
    assert signs == [-1, -1, -1]


def test_closing_waits_for_what_is_being_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    has_begun, may_end = Flag(), Flag()
    ended = []
    advance = pipelines.advance

    def slowly(*args: Any) -> pipelines.Advance:
        has_begun.set()
        assert may_end.wait(60)
        done = advance(*args)
        ended.append(done)
        return done

    monkeypatch.setattr(pipelines, "advance", slowly)
    with opened(tiny_preset()) as pipeline:
        pipeline.launch(10)
        assert has_begun.wait(60)
        may_end.set()
    assert len(ended) == 1


def test_what_is_out_of_order_is_said() -> None:
    with pytest.raises(RuntimeError, match="not been opened"):
        Pipeline(None, None, lambda: None).launch(10)
    with opened() as pipeline, pytest.raises(RuntimeError, match="no chunk has been launched"):
        pipeline.collect()
