"""``l2o-tui bench``: how fast every backend is on this machine, as ratios measured in one run."""

from collections.abc import Sequence

from l2o_engine.backends.choose import BackendError
from l2o_engine.presets.files import load, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.studies.bench import (
    Contestant,
    Rate,
    backend_contestant,
    health_cost,
    measure,
    peer_contestant,
    scaling,
)
from l2o_tui.text.output import json_text, write_out
from l2o_tui.text.streams import say


def run_bench(name: str, *, settings: Sequence[str], seconds: float, seeds: int, scaling: bool, as_json: bool) -> None:
    """Measure the backends in turn and print a table, or JSON lines.

    Parameters
    ----------
    name
        The preset: a TOML file, or the name of a shipped one.
    settings
        What is changed of it, "table.key=value" each.
    seconds
        For how long each contestant is measured.
    seeds
        Above 1, so many replicates side by side are measured as well.
    scaling
        Whether the kernel is measured against the sizes of the experiment, too.
    as_json
        Print JSON lines in place of a table.

    Raises
    ------
    PresetError
        If the preset is wrong, or trains no network.
    """
    preset = load(find(name), settings)
    if not preset.learns:
        raise PresetError(f"{name} trains no network: there is nothing to measure")
    single = override(preset, ["run.seeds=1"])
    backends = _backends(single)
    peer, note = peer_contestant(single)
    say(note)
    contestants = [*backends, *([peer] if peer else [])]
    if seeds > 1:
        side_by_side = backend_contestant(override(preset, [f"run.seeds={seeds}"]), backends[-1].name)
        contestants.append(Contestant(f"{side_by_side.name}, {seeds} seeds", side_by_side.advance))
    rates = measure(contestants, seconds)
    _print_rates(preset, rates, as_json=as_json)
    if backends[-1].name == "fused":
        _print_health(preset, health_cost(single, seconds), as_json=as_json)
    if scaling:
        _print_scaling(single, seconds, as_json=as_json)


def _backends(preset: Preset) -> list[Contestant]:
    found = []
    for name in ("torch", "fused"):
        try:
            found.append(backend_contestant(preset, name))
        except BackendError as error:
            say(str(error))
    return found


def _print_rates(preset: Preset, rates: list[Rate], *, as_json: bool) -> None:
    reference = next((rate.median for rate in rates if rate.name == "torch"), rates[0].median)
    if not as_json:
        write_out(f"{'backend':<16} {'it/s':>9} {'range':>19} {'x torch':>8}    {preset.name}, {preset.run.dtype}")
    for rate in rates:
        ratio = rate.median / reference
        if as_json:
            write_out(json_text({"preset": preset.name, "dtype": preset.run.dtype, "ratio": ratio} | vars(rate)))
        else:
            spread = f"{rate.least:,.0f}–{rate.greatest:,.0f}"
            write_out(f"{rate.name:<16} {rate.median:>9,.0f} {spread:>19} {ratio:>8.2f}")


def _print_health(preset: Preset, cost: float, *, as_json: bool) -> None:
    if as_json:
        write_out(json_text({"preset": preset.name, "name": "health", "share_of_cpu_time": cost}))
    else:
        write_out(f"looking at the run's health takes {cost:.1%} of the kernel's CPU time")


def _print_scaling(preset: Preset, seconds: float, *, as_json: bool) -> None:
    if not as_json:
        write_out(f"\n{'fused, by':<10} {'value':>6} {'it/s':>9} {'µs each':>8}")
    for what, value, rate in scaling(preset, seconds):
        if as_json:
            write_out(json_text({"preset": preset.name, "scale": what, "value": value} | vars(rate)))
        else:
            write_out(f"{what:<10} {value:>6} {rate.median:>9,.0f} {1e6 / rate.median:>8.1f}")
