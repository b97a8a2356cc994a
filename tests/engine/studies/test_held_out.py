"""What networks reach on held-out draws, beside the figures of comparisons and reproductions."""

from pathlib import Path

import pytest

from l2o_engine.runs import checkpoints
from l2o_engine.runs.folder import Run
from l2o_engine.studies import held_out
from l2o_engine.studies.evaluation import judge, judging, networks_of, own_matches
from l2o_engine.studies.held_out import held_out_of
from tests.engine.made import made_run
from tests.engine.tiny import run, tiny_baselines, tiny_preset


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("held-out") / "trained"
    run(folder, tiny_preset("run.seeds=2"))
    return Run(folder)


def test_it_is_what_evaluation_says_of_the_newest_checkpoint(trained: Run) -> None:
    found = held_out_of([trained, trained])
    judged = judge(own_matches(networks_of(trained, newest=True), (), ()), draws=1000, may_compile=False)
    expected = {(trained.folder, one.network.seed): one.figures["end_log10_mean"] for one in judged if one.network}
    assert dict(found.reached) == pytest.approx(expected)
    assert (found.draws, found.notes) == ((1000,), ())


def test_where_a_network_is_large_there_are_fewer_draws(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    (match,) = own_matches(networks_of(trained), (), ())
    monkeypatch.setattr(held_out, "_OPERATIONS", 30.5 * match.networks[0].operations_on(match.problem))
    assert held_out_of([trained]).draws == (30,)
    monkeypatch.setattr(held_out, "_OPERATIONS", 1.0)
    assert held_out_of([trained]).draws == (held_out.LEAST_DRAWS,)


def test_one_that_cannot_be_judged_keeps_no_other_from_it(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "damaged", tiny_preset())
    damaged = Run(tmp_path / "damaged")
    for path in checkpoints.newest_first(damaged.checkpoints_path):
        path.write_bytes(b"")
    run(tmp_path / "baselines", tiny_baselines())
    fresh = made_run(tmp_path / "fresh", tiny_preset(), [[0.0] * 5])
    found = held_out_of([damaged, Run(tmp_path / "baselines"), fresh, trained])
    assert {folder for folder, _ in found.reached} == {trained.folder}
    (note,) = found.notes
    assert note.startswith("damaged has no held-out figure: the weights of damaged cannot be read")
    monkeypatch.setattr(judging, "available_memory", lambda: (10, "this machine"))
    assert held_out_of([trained]).notes[0].startswith("there is no held-out figure on tiny: 1,000 draws")
