"""``l2o-tui bench``: how fast every backend is on this machine, as ratios measured in one run."""

from collections.abc import Sequence

from l2o_engine.presets.files import load, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.studies.bench import (
    SCALES,
    Contestant,
    Rate,
    backend_contestant,
    backend_contestants,
    health_cost,
    measure,
    peer_contestant,
    product_contestant,
    scaling,
    share_of_product,
)
from l2o_engine.studies.made_images import images_for
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
    with images_for(preset.experiment.task) as note:
        _measure_all(preset, seconds, seeds, [note], scaling=scaling, as_json=as_json)


def _measure_all(
    preset: Preset, seconds: float, seeds: int, notes: Sequence[str], *, scaling: bool, as_json: bool
) -> None:
    single = override(preset, ["run.seeds=1"])
    backends, refused = backend_contestants(single)
    fastest = backends[-1].name
    peer, of_peer = peer_contestant(single)
    for note in filter(None, [*notes, *refused, of_peer]):
        say(note)
    contestants = [*backends, *([peer] if peer else [])]
    if seeds > 1:
        side_by_side = backend_contestant(override(preset, [f"run.seeds={seeds}"]), fastest)
        contestants.append(Contestant(f"{side_by_side.name}, {seeds} seeds", side_by_side.advance))
    if fastest == "coordinatewise":
        contestants.append(product_contestant())
    rates = measure(contestants, seconds)
    if fastest == "coordinatewise":
        *rates, products = rates
        by_name = {rate.name: rate.median for rate in rates}
        _print_rates(preset, rates, as_json=as_json)
        _print_share(preset, share_of_product(single, by_name[fastest], products.median), as_json=as_json)
    else:
        _print_rates(preset, rates, as_json=as_json)
    if fastest == "fused":
        _print_health(preset, health_cost(single, seconds), as_json=as_json)
    if scaling and fastest in SCALES:
        _print_scaling(single, fastest, seconds, as_json=as_json)


def _print_rates(preset: Preset, rates: list[Rate], *, as_json: bool) -> None:
    reference = next((rate.median for rate in rates if rate.name == "torch"), rates[0].median)
    if not as_json:
        write_out(f"{'backend':<16} {'it/s':>9} {'range':>19} {'x torch':>8}    {preset.name}, {preset.run.dtype}")
    for rate in rates:
        ratio = rate.median / reference
        if as_json:
            write_out(json_text({"preset": preset.name, "dtype": preset.run.dtype, "ratio": ratio} | vars(rate)))
        else:
            spread = f"{_rate(rate.least)}–{_rate(rate.greatest)}"
            write_out(f"{rate.name:<16} {_rate(rate.median):>9} {spread:>19} {ratio:>8.2f}")


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _print_share(preset: Preset, share: float, *, as_json: bool) -> None:
    if as_json:
        write_out(json_text({"preset": preset.name, "name": "coordinatewise", "share_of_sgemm": share}))
    else:
        write_out(
            f"coordinatewise does {share:.0%} of what matrix products alone would take at this machine's own rate"
        )


def _print_health(preset: Preset, cost: float, *, as_json: bool) -> None:
    if as_json:
        write_out(json_text({"preset": preset.name, "name": "health", "share_of_cpu_time": cost}))
    else:
        write_out(f"looking at the run's health takes {cost:.1%} of the kernel's CPU time")


def _print_scaling(preset: Preset, backend: str, seconds: float, *, as_json: bool) -> None:
    if not as_json:
        write_out(f"\n{backend + ', by':<18} {'value':>6} {'it/s':>9} {'µs each':>9}")
    for what, value, rate in scaling(preset, backend, seconds):
        if as_json:
            write_out(json_text({"preset": preset.name, "scale": what, "value": value} | vars(rate)))
        else:
            write_out(f"{what:<18} {value!s:>6} {_rate(rate.median):>9} {1e6 / rate.median:>9.1f}")
