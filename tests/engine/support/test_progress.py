"""The bar that tells how far something is: only where it was asked for, and on stderr alone."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

import l2o_engine as l2o
from l2o_engine.support.libraries import MissingLibraryError
from l2o_engine.support.progress import Bar

TASK = l2o.tasks.Quadratic(dims=1)


def chunks(*, progress: bool = False) -> None:
    learned = l2o.LearnedOptimizer(l2o.LSTM(layers=1, hidden=2))
    trainer = l2o.MetaTrainer(l2o.Experiment(TASK, learned, truncation=l2o.Truncation(3)), backend="torch")
    trainer.advance(1)
    assert sum(len(chunk.results) for chunk in trainer.chunks(7, size=2, progress=progress)) == 6


def evaluated(*, progress: bool = False) -> None:
    l2o.evaluate([l2o.optimizers.Sgd(), l2o.optimizers.Adam()], TASK, problems=6, steps=3, progress=progress)


def tuned(*, progress: bool = False) -> None:
    l2o.tune(l2o.optimizers.Sgd, TASK, steps=3, draws=4, progress=progress)


WORK: list[tuple[Callable[..., Any], list[str]]] = [
    (chunks, ["meta-training: 100%", "7/7", "end log10"]),
    (evaluated, ["evaluating: 100%", "12/12", "Adam"]),
    (tuned, ["tuning SGD: 100%", "1/1", "grids"]),
]


@pytest.mark.parametrize(("work", "says"), WORK)
def test_it_is_shown_where_it_is_asked_for(
    work: Callable[..., Any], says: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    work()
    assert capsys.readouterr() == ("", "")
    work(progress=True)
    out, err = capsys.readouterr()
    last = err.replace("\r", "\n").strip().splitlines()[-1]
    assert out == ""
    for text in says:
        assert text in last


@pytest.mark.parametrize("work", [work for work, _ in WORK])
def test_without_tqdm_it_is_told_what_installs_it(work: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    work()
    with pytest.raises(MissingLibraryError, match=r"needs tqdm, which is not installed: pip install 'l2o-tui\[noteb"):
        work(progress=True)


def test_the_pace_is_counted_from_where_it_began(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar(shown=True, total=10, what="work", unit="it") as bar:
        bar.begin(1000, 2000)
        bar.tell(1500, said="half of it")
        bar.tell(1500, total=1500)
    err = capsys.readouterr().err
    assert "1,000/2,000" in err
    assert err.replace("\r", "\n").strip().splitlines()[-1].startswith("work: 100%")
    assert "half of it" in err
