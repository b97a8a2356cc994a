"""What optimizers reach on held-out draws, in tables that fit 80 columns: the same printed and on the screen."""

from collections.abc import Sequence
from math import isfinite, isnan

from rich.cells import cell_len

from l2o_engine.presets.labels import level_label
from l2o_engine.studies.evaluation import Contender, Judged, Network, Ranking
from l2o_engine.support.wording import shown
from l2o_engine.training.figures import THRESHOLDS
from l2o_tui.text import names
from l2o_tui.text.numbers import compact, count, fixed, loss_sum
from l2o_tui.text.tables import aligned

LEGEND = (
    "log10 of the last loss: its mean with the 95 % interval, or of several seeds the median over them with the least "
    "and the greatest; its median and quartiles over the draws. worse: than the start. lost: no finite loss, or a "
    "millionfold. Σ: all steps' losses added up. to 1e-3 …: the median of the updates that it takes, and the share of "
    "the draws that get there. #: the rank, by the mean and by the median of Σ; who loses more than 1 % of the draws "
    "comes last. exploit: it buys its last loss by going far away first."
)
_ENDS = ("log10 of last loss", "mean", "95 %", "median", "quartiles", "worse", "lost", "#")
_SUMS = ("Σ, updates", "Σ mean", "95 %", "Σ median", *(f"to {name}" for name in THRESHOLDS), "#")
_HELD_OUT = ("loss after the last update", "minibatch", "held-out data")
_LEAST_NAME = 8  # cells


def ranking_lines(ranking: Ranking, *, seed: int, width: int | None = None) -> list[str]:
    """Return the lines of the tables of one problem: what it is, the last losses, sums and steps.

    Parameters
    ----------
    ranking
        Who was judged on it.
    seed
        Decides the draws.
    width
        Of the terminal; names are cut in the middle where the table is wider. None for a table as wide as it needs.
    """
    problem = ranking.problem
    title = f"{problem.name}: {count(problem.horizon)} steps, {count(ranking.draws)} held-out draws of seed {seed}"
    ends = [(*_end_cells(one), str(rank)) for one, rank in zip(ranking.contenders, ranking.by_end, strict=True)]
    by_sum = sorted(zip(ranking.by_sum, ranking.contenders, strict=True), key=lambda pair: pair[0])
    sums = [(*_sum_cells(one), str(rank)) for rank, one in by_sum]
    tables = [[_ENDS, *ends], [_SUMS, *sums]]
    if problem.task.has_held_out:
        tables.append([_HELD_OUT, *((_name(one), *_held_out_cells(one)) for one in ranking.contenders)])
    lines = [line for table in tables for line in ("", *_fitted(table, width))]
    return [shown(title), *lines[1:]]


def _fitted(rows: Sequence[tuple[str, ...]], width: int | None) -> list[str]:
    lines = aligned(rows)
    too_wide = max(map(cell_len, lines)) - width if width else 0
    if too_wide <= 0:
        return lines
    room = max(max(cell_len(shown(row[0])) for row in rows) - too_wide, _LEAST_NAME)
    return aligned([(names.cut(name, room), *cells) for name, *cells in rows])


def _end_cells(one: Contender) -> tuple[str, ...]:
    quartiles = (one.figure("end_log10_lower"), one.figure("end_log10_upper"))
    return (
        _name(one),
        _number(one.figure("end_log10_mean")),
        _between(one.range("end_log10_mean"), 2),
        _number(one.figure("end_log10_median")),
        _between(quartiles, 1),
        share_text(one.share("worse_than_start")),
        share_text(one.share("lost")),
    )


def _held_out_cells(one: Contender) -> tuple[str, ...]:
    return tuple(_loss(one.figure(name)) for name in ("end_loss_mean", "held_out_loss"))


def _loss(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "–"


def _sum_cells(one: Contender) -> tuple[str, ...]:
    low, high = one.range("sum_mean")
    return (
        _name(one),
        loss_sum(one.figure("sum_mean")),
        f"{loss_sum(low)}…{loss_sum(high)}" if isfinite(low) else "",
        loss_sum(one.figure("sum_median")),
        *(_steps(one, name) for name in THRESHOLDS),
    )


def _name(one: Contender) -> str:
    label = level_label(one.label, is_tuned=one.judged[0].tuned_by is not None)
    exploit, seeds = "exploit" if one.is_exploit else "", len(one.judged)
    return ", ".join(filter(None, (label, exploit, f"{seeds} seeds" if seeds > 1 else "")))


def _number(value: float) -> str:
    return "–" if isnan(value) else fixed(value)


def _between(ends: tuple[float, float], decimals: int) -> str:
    return "" if isnan(ends[0]) else f"{fixed(ends[0], decimals)}…{fixed(ends[1], decimals)}"


def share_text(share: float) -> str:
    """Return a share of draws in percent."""
    return "0" if share == 0 else f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}" if share >= 0.001 else "<0.1%"


def _steps(one: Contender, threshold: str) -> str:
    steps, reached = one.figure(f"steps_to_{threshold}"), one.figure(f"reached_{threshold}")
    return f"{compact(steps)} ({share_text(reached)})" if isfinite(steps) else "–"


def notes_on(rankings: Sequence[Ranking]) -> list[str]:
    """Return what must be known of the networks: of which checkpoints they are, which seeds diverge, who computed."""
    judged = [one for ranking in rankings for contender in ranking.contenders for one in contender.judged]
    trained = [(one, one.network) for one in judged if one.network is not None]
    notes = [_origin(network) for network in {network.source.place: network for _, network in trained}.values()]
    notes += [f"{_owner(network)} had diverged in training" for network in _distinct(trained) if network.diverged]
    for one, network in trained:
        if lost := int(one.figures["lost"]):
            notes.append(
                f"{_owner(network)}: {count(lost)} of {count(one.draws)} draws of {one.problem.name}, "
                f"{count(one.problem.horizon)} steps, are lost: they end with no finite loss, or a millionfold"
            )
    by = sorted({one.computed_by for one, _ in trained})
    return [*notes, *([f"the networks are computed by {' and '.join(by)}"] if by else [])]


def _distinct(trained: Sequence[tuple[Judged, Network]]) -> list[Network]:
    return list({(network.source.place, network.seed): network for _, network in trained}.values())


def _origin(network: Network) -> str:
    source = network.source
    if source.exported is not None:
        return f"{source.name}: of {source.exported.origin.run}, seed {network.seed}, at {count(network.iteration)}"
    which = "its best checkpoint" if network.is_best else "its newest checkpoint"
    return f"{source.name}: of {which}, at {count(network.iteration)}"


def _owner(network: Network) -> str:
    return f"seed {network.seed} of {network.source.name}"
