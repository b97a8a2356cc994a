"""Presets: one TOML file describes one experiment, wholly.

A preset is read into frozen pydantic models. What is not written takes the default, and the defaults are the
notebook's ("The Quest for the Ultimate Optimizer", Episode 1). Whatever is wrong (an unknown key, a wrong type, an
impossible value) raises :class:`PresetError`, whose message names the file, the table and the key, and the nearest
valid name. :func:`to_toml` writes the effective preset back, every default written out.
"""

import ctypes
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from math import exp, inf, isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from l2o_engine.presets.messages import describe
from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import nearest, quote

Positive = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


def _as_float32(value: float) -> float:
    return ctypes.c_float(value).value


def _check_float32(value: float) -> float:
    if not 0 < _as_float32(value) < inf:
        raise ValueError("must be a number that float32 can hold: Adam's constants are float32")
    return value


def _check_float32_fraction(value: float) -> float:
    if _as_float32(value) >= 1:
        raise ValueError("must be below 1 in float32: Adam's constants are float32")
    return value


AdamConstant = Annotated[Positive, AfterValidator(_check_float32)]
AdamDecay = Annotated[Fraction, AfterValidator(_check_float32_fraction)]
DTypeName = Literal["float32", "float64"]
BackendName = Literal["auto", "fused", "torch"]


class PresetError(UserError):
    """A preset, or a setting given on top of one, that cannot be used. The message is meant for the user."""


def _list_to_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _check_interval(value: object) -> object:
    numbers = _list_to_tuple(value)
    if not isinstance(numbers, tuple) or len(numbers) != 2 or not all(map(_is_number, numbers)):
        raise ValueError("must be [low, high], two finite numbers")
    if numbers[0] > numbers[1]:
        raise ValueError("must be [low, high] with low <= high")
    return numbers


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


Interval = Annotated[tuple[float, float], BeforeValidator(_check_interval)]
"""A closed range [low, high] that numbers are drawn from, uniformly."""

Finals = Annotated[tuple[float, ...], BeforeValidator(_list_to_tuple)]
"""Final averages of several runs: the mean log10 of the last losses in the last report."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class ProblemSettings(_Table):
    """The family of functions to minimise, drawn anew for every meta-iteration: f(x) = Σ (scale·x)²."""

    kind: Literal["quadratic"] = "quadratic"
    dims: int = Field(2, ge=1, le=10_000)
    scale: Interval = (0.5, 1.5)
    start: Interval = (-1.0, 1.0)


class UnrollSettings(_Table):
    """How one run of the learned optimizer on one problem is unrolled."""

    steps: int = Field(20, ge=2, le=10_000)
    second_derivatives: bool = True


class NetworkSettings(_Table):
    """The coordinate-wise recurrent network that proposes the updates."""

    kind: Literal["lstm"] = "lstm"
    layers: int = Field(2, ge=1, le=16)
    hidden: int = Field(20, ge=1, le=1024)
    forget_bias: float = 1.0


class IdentityTransform(_Table):
    """The network sees the gradient itself, and its output is the update."""

    kind: Literal["identity"] = "identity"


RESIDUAL_FORMULAS = ("exp(min_log - 5)", "exp(min_log)")


def _check_residual(value: object) -> object:
    if value in RESIDUAL_FORMULAS or (isinstance(value, int | float) and _is_number(value) and value > 0):
        return value
    raise ValueError(f"must be {' or '.join(map(quote, RESIDUAL_FORMULAS))} or a number above 0")


Residual = Annotated[str | float, BeforeValidator(_check_residual)]
"""What is added to a magnitude before its logarithm: a formula of min_log, or a number."""


def residual_at(residual: str | float, min_log: float) -> float:
    """Return the number that a residual is at this min_log."""
    match residual:
        case "exp(min_log - 5)":
            return exp(min_log - 5)
        case "exp(min_log)":
            return exp(min_log)
        case _:
            return float(residual)


class _LogCasting(_Table):
    min_log: float = Field(lt=0)
    residual: Residual = "exp(min_log - 5)"
    adaptive: bool = False
    adaptation_rate: float = Field(0.01, gt=0, le=1)


class LogTransform(_LogCasting):
    """Casts exp(min_log)…1 to 0…1, sign kept, on the way in, and back on the way out."""

    kind: Literal["log"] = "log"


class RatioTransform(_Table):
    """The network sees g_t / |g_{t-1}|, and its output is multiplied by |g_{t-1}|."""

    kind: Literal["ratio"] = "ratio"
    ratio_residual: Positive = 1e-38


class RatioLogTransform(_LogCasting):
    """The ratio, then its log casting; then both undone."""

    kind: Literal["ratio_log"] = "ratio_log"
    residual: Residual = 1e-38
    ratio_residual: Positive = 1e-38


TransformSettings = Annotated[
    IdentityTransform | LogTransform | RatioTransform | RatioLogTransform, Field(discriminator="kind")
]


class ObjectiveSettings(_Table):
    """The number that the meta-optimizer minimises, made of the losses of one unroll."""

    kind: Literal["sum", "end", "end_log", "sum_log"] = "sum"
    residual: float = Field(0.0, ge=0)


class MetaSettings(_Table):
    """The meta-optimizer: Adam in TensorFlow 1's "epsilon hat" form, and what is done to the meta-gradient first."""

    learning_rate: AdamConstant = 3e-4
    beta1: AdamDecay = 0.9
    beta2: AdamDecay = 0.999
    epsilon: AdamConstant = 1e-8
    gradient: Literal["clip", "unit", "none"] = "clip"
    clip_norm: Positive = 1.0
    non_finite: Literal["zero", "skip", "stop"] = "zero"
    max_non_finite: int = Field(0, ge=0)
    batch: int = Field(1, ge=1, le=100_000)


class _Baseline(_Table):
    name: str = Field(min_length=1, max_length=24, pattern=r"^[^,\"\s]+$")


class SgdBaseline(_Baseline):
    """Gradient descent: u = -learning_rate·g."""

    kind: Literal["sgd"]
    learning_rate: Positive = 0.1


class RmsPropBaseline(_Baseline):
    """RMSProp: s = decay·s + (1 - decay)·g², u = -learning_rate·g/(√s + epsilon)."""

    kind: Literal["rmsprop"]
    learning_rate: Positive = 0.1
    decay: Fraction = 0.99
    epsilon: Positive = 1e-5


BaselineSettings = Annotated[SgdBaseline | RmsPropBaseline, Field(discriminator="kind")]


class ReportSettings(_Table):
    """What is reported, and how often."""

    every: int = Field(5000, ge=1)
    rolling_window: int = Field(500, ge=1)
    baseline_draws: int = Field(1000, ge=1, le=1_000_000)


class RunSettings(_Table):
    """How long, from which seed, in which arithmetic, and how often the state is saved."""

    iterations: int = Field(50_000, ge=1, le=10**12)
    seed: int = Field(0, ge=0, lt=2**63)
    seeds: int = Field(1, ge=1, le=1024)
    dtype: DTypeName = "float32"
    backend: BackendName = "auto"
    checkpoint_every: int = Field(5000, ge=1)
    keep_checkpoints: int = Field(3, ge=1)


class NotebookRow(_Table):
    """One printed row of the notebook.

    Attributes
    ----------
    it
        The meta-iteration.
    sum_error, optim_result
        Sum of the losses, and the last loss, of this one meta-iteration.
    average_log_result
        Mean log10 of the last losses since the row before (Episode 2 calls it ``av_log_res``).
    average_sum_log_result
        Mean log10 of the losses of all steps, not since the row before but since the start (``av_sum_log_res``).
    min_log
        An adaptive log casting's min_log.
    """

    it: int = Field(ge=0)
    sum_error: float | None = None
    optim_result: float | None = None
    average_log_result: float
    average_sum_log_result: float | None = None
    min_log: float | None = None


class NotebookSettings(_Table):
    """What the notebook printed of this experiment, shown beside ours, and what counts as reproducing it.

    Attributes
    ----------
    name
        The experiment's name there.
    episode
        Which part of the series it is from.
    tolerance
        Greatest distance from :attr:`final`, in powers of ten, at which our median over seeds counts as reproduced.
    other_finals
        The final averages of the notebook's other runs of it.
    independent_finals
        The final averages of an independent float32 implementation, one a seed.
    independent_lost
        How many more of its seeds were lost to NaN, and have no final.
    remark
        What a report says of how ours differs from it, line by line.
    rows
        What it printed.
    """

    name: str
    episode: Literal[1, 2] | None = None
    tolerance: Positive | None = None
    other_finals: Finals = ()
    independent_finals: Finals = ()
    independent_lost: int = Field(0, ge=0)
    remark: Annotated[tuple[str, ...], BeforeValidator(_list_to_tuple)] | None = None
    rows: Annotated[tuple[NotebookRow, ...], BeforeValidator(_list_to_tuple)] = ()

    @property
    def final(self) -> float | None:
        """The last row's average_log_result, which ours is compared with; None where there are no rows."""
        return self.rows[-1].average_log_result if self.rows else None


_DEFAULT_BASELINES: tuple[SgdBaseline | RmsPropBaseline, ...] = (
    SgdBaseline(kind="sgd", name="SGD"),
    RmsPropBaseline(kind="rmsprop", name="RMSProp"),
)

LEARNED_TABLES = ("unroll", "network", "transform", "objective", "meta")
"""The tables that only mean something where a network is meta-trained (``unroll`` keeps its ``steps``)."""


class Preset(_Table):
    """A whole experiment. ``kind`` is "meta-training" (the default) or "baselines" (no network is trained)."""

    format: Literal[1] = 1
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    title: str = ""
    kind: Literal["meta-training", "baselines"] = "meta-training"
    problem: ProblemSettings = ProblemSettings()
    unroll: UnrollSettings = UnrollSettings()
    network: NetworkSettings = NetworkSettings()
    transform: TransformSettings = IdentityTransform()
    objective: ObjectiveSettings = ObjectiveSettings()
    meta: MetaSettings = MetaSettings()
    baseline: Annotated[tuple[BaselineSettings, ...], BeforeValidator(_list_to_tuple)] = _DEFAULT_BASELINES
    report: ReportSettings = ReportSettings()
    run: RunSettings = RunSettings()
    notebook: NotebookSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.run.seed + self.run.seeds > 2**63:
            raise ValueError("run.seed + run.seeds must be at most 2^63")
        if self.run.dtype == "float32":
            for name, value in self._small_numbers().items():
                if value > 0 and _as_float32(value) == 0:
                    raise ValueError(f'{name} would be 0 in float32: take a greater one, or run.dtype = "float64"')
        names = [baseline.name for baseline in self.baseline]
        if len(set(names)) != len(names):
            raise ValueError("every [[baseline]] needs a name of its own")
        if "RNN" in names:
            raise ValueError('a [[baseline]] may not be called "RNN": that is the network')
        if self.kind == "baselines":
            if not self.baseline:
                raise ValueError('a preset with kind = "baselines" needs at least one [[baseline]]')
            useless = [t for t in LEARNED_TABLES if t != "unroll" and t in self.model_fields_set]
            if useless:
                raise ValueError(f'[{useless[0]}] has no meaning in a preset with kind = "baselines"')
        return self

    def _small_numbers(self) -> dict[str, float]:
        """Return what may round to 0 in float32, which it must not."""
        numbers = {"objective.residual": self.objective.residual}
        if isinstance(self.transform, _LogCasting):
            residual = residual_at(self.transform.residual, self.transform.min_log)
            numbers["transform.residual"] = max(residual, sys.float_info.min)
        if isinstance(self.transform, RatioTransform | RatioLogTransform):
            numbers["transform.ratio_residual"] = self.transform.ratio_residual
        for place, baseline in enumerate(self.baseline):
            if isinstance(baseline, RmsPropBaseline):
                numbers[f"baseline.{place}.epsilon"] = baseline.epsilon
        return numbers

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the replicates: seed, seed + 1, … ."""
        return tuple(range(self.run.seed, self.run.seed + self.run.seeds))

    @property
    def published_final(self) -> float | None:
        """The last mean log10 of the last loss that the notebook printed of it, if it did."""
        return self.notebook.final if self.notebook else None


def shipped_folder() -> Path:
    """Return the folder of the shipped presets: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "presets"


def shipped_names() -> list[str]:
    """Return the names of the shipped presets, sorted."""
    return sorted(path.stem for path in shipped_folder().glob("*.toml"))


def find(reference: str) -> Path:
    """Return the file a user means by a path or by the name of a shipped preset.

    Raises
    ------
    PresetError
        If there is no such file and no shipped preset of that name.
    """
    path = Path(reference)
    shipped = shipped_folder() / f"{reference}.toml"
    looks_like_a_path = path.suffix == ".toml" or len(path.parts) != 1
    if not looks_like_a_path and reference in shipped_names():
        return shipped
    try:
        if reference and path.is_dir():
            raise PresetError(f"{reference} is a folder, not a preset file")
        if reference and path.exists():
            return path
    except OSError as error:  # no name that the file system knows
        raise PresetError(f"{reference}: {error.strerror}") from error
    if looks_like_a_path and reference:
        raise PresetError(f"there is no file {reference}")
    hint = nearest(reference, shipped_names()) or "."
    raise PresetError(
        f'there is no shipped preset "{reference}"{hint} '
        f"Shipped: {', '.join(shipped_names())}. A file of yours is named by its path, ending in .toml"
    )


def load(path: Path, settings: Sequence[str] = (), options: Mapping[str, Any] | None = None) -> Preset:
    """Read, override and check a preset.

    Settings that make another experiment of it take away [notebook], unless they set that too: what the notebook
    printed is not of this one.

    Parameters
    ----------
    path
        The TOML file.
    settings
        Overrides as a user writes them, ``"table.key=value"``; the value is TOML, or else a plain string.
    options
        Values of the [run] table that come from options of their own: ``{"seed": 3}`` from ``--seed 3``. They win.

    Raises
    ------
    PresetError
        If the file cannot be read, is not TOML, or describes no possible experiment.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PresetError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise PresetError(f"{path}: is not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{path}: is not valid TOML: {error}") from error
    original = deepcopy(raw)
    overridden = {_apply(raw, setting): f"--set {setting}" for setting in settings}
    for key, value in (options or {}).items():
        place = _apply(raw, f"run.{key}={value}")
        overridden = {other: name for other, name in overridden.items() if other != place}
        overridden[place] = f"--{key} {value}"
    return _without_foreign_rows(check(raw, source=str(path), overridden=overridden), original, overridden)


def check(
    raw: Mapping[str, Any], *, source: str = "preset", overridden: Mapping[tuple[str | int, ...], str] | None = None
) -> Preset:
    """Check a preset given as plain tables.

    Parameters
    ----------
    raw
        The tables as TOML gives them.
    source
        What error messages name as the place: a file, usually.
    overridden
        The places that were set on the command line, so that an error there names the option instead.

    Raises
    ------
    PresetError
        With one line for each thing wrong.
    """
    try:
        return Preset.model_validate(raw)
    except ValidationError as error:
        lines = [describe(details, raw, source, overridden or {}, Preset) for details in error.errors()]
        raise PresetError("\n".join(dict.fromkeys(lines))) from error


def override(preset: Preset, settings: Sequence[str]) -> Preset:
    """Return the preset with ``"table.key=value"`` settings applied and checked; see :func:`load` on [notebook]."""
    raw = to_dict(preset)
    overridden = {_apply(raw, setting): f"--set {setting}" for setting in settings}
    return _without_foreign_rows(check(raw, source=preset.name, overridden=overridden), to_dict(preset), overridden)


def _without_foreign_rows(
    preset: Preset, original: Mapping[str, Any], overridden: Mapping[tuple[str | int, ...], str]
) -> Preset:
    """Take away what the notebook printed, where the settings made of the original what the notebook did not run."""
    if preset.notebook is None or not overridden or any(place[0] == "notebook" for place in overridden):
        return preset
    try:
        before = Preset.model_validate(original)
    except ValidationError:  # the settings complete it
        return preset
    is_the_same = trained_settings(preset) == trained_settings(before)
    return preset if is_the_same else preset.model_copy(update={"notebook": None})


def experiment_settings(preset: Preset) -> dict[str, Any]:
    """Return all settings, as "table.key" → value, that make two runs different experiments if they differ.

    Names, and what only says how long, from which seed and how a run is done, do not.
    """
    tables = to_dict(preset)
    for name in ("format", "name", "title", "notebook"):
        tables.pop(name, None)
    tables["run"] = {"dtype": tables["run"]["dtype"]}
    return dict(sorted(_flat(tables)))


def trained_settings(preset: Preset) -> dict[str, Any]:
    """Return those of :func:`experiment_settings` that the training depends on: reports and baselines do not count.

    The baselines do where they are all there is.
    """
    beside = ("report", "baseline") if preset.kind == "meta-training" else ("report",)
    return {place: value for place, value in experiment_settings(preset).items() if place.split(".")[0] not in beside}


def _flat(node: Any, place: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        entries: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list) and node and isinstance(node[0], Mapping):
        entries = enumerate(node)
    else:
        return [(place, node)]
    return [pair for key, value in entries for pair in _flat(value, f"{place}.{key}" if place else str(key))]


def to_dict(preset: Preset) -> dict[str, Any]:
    """Return the effective preset as plain tables, every default written out, that :func:`check` takes back."""
    tables = {name: _kind_first(table) for name, table in preset.model_dump(mode="json", exclude_none=True).items()}
    if preset.kind == "baselines":
        for table in LEARNED_TABLES:
            if table != "unroll":
                del tables[table]
    return tables


def _kind_first(table: Any) -> Any:
    if isinstance(table, list):
        return [_kind_first(entry) for entry in table]
    return {"kind": table["kind"]} | table if isinstance(table, dict) and "kind" in table else table


def to_toml(preset: Preset) -> str:
    """Return the effective preset as TOML; reading it gives an equal preset."""
    return tomli_w.dumps(to_dict(preset))


def _apply(raw: dict[str, Any], setting: str) -> tuple[str | int, ...]:
    name, equals, text = setting.partition("=")
    keys = [key.strip() for key in name.split(".")]
    if not equals or not all(keys):
        raise PresetError(f"--set {setting}: write it as table.key=value, for example --set meta.epsilon=1e-16")
    place: list[str | int] = []
    node: Any = raw
    for depth, key in enumerate(keys):
        step: str | int = key
        if isinstance(node, list):
            if not key.isdigit() or int(key) >= len(node):
                raise PresetError(f"--set {setting}: {'.'.join(keys[:depth])} has the entries 0 to {len(node) - 1}")
            step = int(key)
        elif not isinstance(node, dict):
            raise PresetError(f"--set {setting}: {'.'.join(keys[:depth])} is a value, not a table")
        place.append(step)
        if depth == len(keys) - 1:
            node[step] = _toml_value(text.strip())
        elif isinstance(node, dict):
            # The default baselines are no part of the file; a setting that reaches into them needs them there.
            default = [b.model_dump() for b in _DEFAULT_BASELINES] if place == ["baseline"] else {}
            node = node.setdefault(step, default)
        else:
            node = node[step]
    return tuple(place)


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text
