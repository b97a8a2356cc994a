"""What is fed: everything of ours that reads what others may have written, and the errors that it may answer with.

A target takes bytes, and raises nothing; what a function of ours promises to raise is caught here, and nothing else.
"""

import gzip
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, cast

import numpy as np
from pydantic import ValidationError

from l2o_engine.optimizers.learned.deepmind_weights import WeightsError
from l2o_engine.optimizers.learned.exported import Exported, Origin, Seen
from l2o_engine.optimizers.learned.exported_file import OptimizerFileError, content_of
from l2o_engine.presets.exported import converted, preset_of_exported, tables_of
from l2o_engine.presets.files import check, load, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.health import examine, trend_of
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import CheckpointError
from l2o_engine.runs.commands import Inbox
from l2o_engine.runs.export import write_metrics
from l2o_engine.runs.folder import Run
from l2o_engine.runs.metrics_file import last_iteration
from l2o_engine.runs.record import RunError, read_record
from l2o_engine.support.errors import UserError
from l2o_engine.tasks.data import DataError, Part, cifar, idx, table
from l2o_engine.tasks.distributions import Constant
from l2o_engine.tasks.formula import Formula, Parameter
from l2o_engine.tasks.formula.functions import shipped_functions
from l2o_engine.tasks.formula.grammar import FUNCTIONS
from tests.engine.digits import idx_images, idx_labels, records
from tests.engine.told import event_from_json, progress_from_json, vitals_from_json

ROOT = Path(__file__).parents[2]
_OLD_RUN = ROOT / "tests" / "data" / "runs" / "format1"
_CORPUS = Path(__file__).parent / "corpus"

_IDX_IMAGES, _IDX_LABELS = idx_images(3, (2, 2)), idx_labels(3)
_PRESET = load(_OLD_RUN / "preset.toml")
_PARAMETERS = {"b": Parameter(Constant(1.0)), "w": Parameter(Constant(1.0), length=3)}
_DEEPMIND = check(
    {
        "name": "deepmind",
        "network": {"layers": 1, "hidden": 2, "input_projection": "none"},
        "inputs": {"kind": "identity"},
    }
)
_SMALL = check({"name": "small", "baseline": [{"kind": "sgd", "name": "A"}, {"kind": "rmsprop", "name": "B"}]})


@dataclass(frozen=True)
class Target:
    """Something that reads.

    Attributes
    ----------
    feed
        Reads these bytes, wherever it reads from; raises nothing.
    good
        Inputs that it can make something of.
    words
        What inputs are made of, for who puts them together.
    """

    feed: Callable[[bytes], object]
    good: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()


@cache
def _folder() -> Path:
    """Return a folder for this process, in memory where there is one."""
    memory = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)
    return Path(mkdtemp(prefix="l2o-fuzz-", dir=memory if os.access(memory, os.W_OK) else None))


def _file(name: str, content: bytes) -> Path:
    path = _folder() / name
    path.write_bytes(content)
    return path


def _feed_preset(content: bytes) -> None:
    with suppress(PresetError):
        preset = load(_file("preset.toml", content))
        assert load(_file("again.toml", to_toml(preset).encode())) == preset


def _feed_setting(content: bytes) -> None:
    with suppress(PresetError):
        override(_SMALL, [content.decode("utf-8", "surrogateescape")])


def _feed_formula(content: bytes) -> None:
    with suppress(ValidationError):
        Formula(content.decode("utf-8", "replace"), parameters=_PARAMETERS)


def _feed_checkpoint(content: bytes) -> None:
    with suppress(CheckpointError):
        checkpoints.read(_file("000000000040.safetensors", content), _PRESET.experiment)


def _feed_optimizer(content: bytes) -> None:
    with suppress(OptimizerFileError):
        found = Exported.load(_file("optimizer.safetensors", content))
        with suppress(PresetError):
            preset_of_exported(found, "a file")
        found.save(_folder() / "again.safetensors")
        assert Exported.load(_folder() / "again.safetensors").digest == found.digest


def _feed_weights(content: bytes) -> None:
    with suppress(WeightsError):
        converted(_file("weights.npz", content), _DEEPMIND)


def _feed_record(content: bytes) -> None:
    with suppress(RunError):
        read_record(_file("run.json", content))


def _feed_events(content: bytes) -> None:
    run = _run_with("events.jsonl", content)
    run.progress()
    vitals = [vitals for _, vitals in run.vitals()]
    if vitals:
        examine(_PRESET.experiment, vitals)
        trend_of(vitals)
    for document in run.events():
        for read in (lambda one: event_from_json([one]), progress_from_json, vitals_from_json):
            with suppress(KeyError, TypeError, ValueError):
                read(document)


def _feed_command(content: bytes) -> None:
    inbox = Inbox(_folder() / "commands")  # a new one looks at once, however dear its look before was
    path = _file(f"commands/{1:020d}-{0:032x}.json", content)
    assert inbox.take() is not None
    assert not path.exists()


def _feed_metrics(content: bytes) -> None:
    run = _run_with("metrics.csv", content)
    with suppress(RunError):
        for rows in run.rows():
            assert len(rows) == len(rows.lane)
    for file_format in ("csv", "json"):
        with suppress(UserError):
            write_metrics(run, file_format, BytesIO(), every=7)
    last_iteration(run.metrics_path)


def _feed_data(content: bytes) -> None:
    path = _file("images", content)
    readers: list[Callable[[], object]] = [
        lambda: idx.read_part(path, _file("labels", _IDX_LABELS), (2, 2)),
        lambda: idx.read_part(_file("good", _IDX_IMAGES), path, (2, 2)),
        lambda: table.read_part(path, 2, 16),
        lambda: cifar.read_part([path, path]),
    ]
    for reader in readers:
        with suppress(DataError):
            part, digests = cast("tuple[Part, dict[str, str]]", reader())
            assert 0 < len(part) == len(part.labels)
            assert part.labels.max() < 10
            assert all(len(digest) == 64 for digest in digests.values())


class _Run(Run):
    """A run whose preset is known, so that it is not read and checked again for every input."""

    def preset(self) -> Preset:
        return _PRESET


def _run_with(name: str, content: bytes) -> Run:
    folder = _folder() / "run"
    if not folder.exists():
        folder.mkdir()
        for known in ("run.json", "preset.toml", "metrics.csv", "events.jsonl"):
            (folder / known).write_bytes((_OLD_RUN / known).read_bytes())
    _file(f"run/{name}", content)
    return _Run(folder)


def _presets() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "presets").glob("*.toml"))]


def _settings() -> list[bytes]:
    return [
        b"meta.epsilon=1e-16",
        b'inputs={kind="ratio_log", min_log=-2.0, adaptive=true, residual="exp(min_log)"}',
        b"baseline.0.learning_rate=0.3",
        b"problem.scale=[0.5, 1.5]",
        b"title=text",
        b'problem={kind="formula", loss="b*x[0]**2 + x[1]", start=[[-5, 10], 1], parameters={b={log_uniform=[1, 9]}}}',
        b'problem={kind="formula", function="rosenbrock", dims=3, rotation="uniform"}',
        b"run.seed=9223372036854775807",
        b"notebook.rows=[{it=0, average_log_result=-1.5}]",
    ]


def _formulas() -> list[bytes]:
    shipped = [str(settings["loss"]).encode() for settings in shipped_functions().values()]
    ours = [
        b"b*sum(i, 1, dims - 1, w[i - 1]*(x[i] - x[i - 1])**2) + log1p(abs(x[0]))**b/tanh(1 + x[1]**-2)",
        b"sqrt(sum(i, sum(j, 0, i, w[i]*w[j]*x[i]*x[j]))**2 + 1e-3)*2**(b - .5)",
    ]
    return [*ours, *(text + b" + 0*b*w[0]" for text in shipped)]


def _commands() -> list[bytes]:
    extend = b'{"command": "extend", "iterations": 500, "host": "a", "pid": 1}'
    return [
        extend,
        b'{"command": "pause"}',
        b'{"command": "stop", "host": "a", "pid": 3}',
        b'{"command": "checkpoint"}',
    ]


def _events() -> list[bytes]:
    recorded = (ROOT / "tests" / "data" / "events.jsonl").read_bytes().splitlines(keepends=True)
    ours = (_OLD_RUN / "events.jsonl").read_bytes().splitlines(keepends=True)
    return [b"".join(ours), *(b"".join(recorded[first : first + 6]) for first in range(0, len(recorded), 6))]


def _optimizers() -> list[bytes]:
    (path,) = (_OLD_RUN / "checkpoints").iterdir()
    learner = checkpoints.read(path, _PRESET.experiment).trainers[_PRESET.run.seed].learner
    assert learner is not None
    origin = Origin("old", "log30", "quadratic", 0, 40, 4, Seen((1e-9, 1.0), (1e-5, 1.0)), {"numpy": "2"})
    learned, tables = _PRESET.experiment.trained, tables_of(_PRESET)
    return [content_of(Exported(learned, learner.weights, learner.numbers, origin, tables))]


def _weights() -> list[bytes]:
    shapes = {"lstm_1/w_gates": (3, 8), "lstm_1/b_gates": (8,), "linear/w": (2, 1), "linear/b": (1,)}
    named: dict[str, Any] = {name: np.ones(shape) for name, shape in shapes.items()}
    files = []
    for write in (np.savez, np.savez_compressed):
        made = BytesIO()
        write(made, **named)
        files.append(made.getvalue())
    return files


def _data() -> list[bytes]:
    plain = [_IDX_IMAGES, _IDX_LABELS, b"0,16,9\n3,4,0\n", records(1)]
    return [*plain, *(gzip.compress(content, mtime=0) for content in plain)]


def _old(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(_OLD_RUN / name).read_bytes()]


_NUMBERS = (
    b"-1",
    b"0",
    b"1e400",
    b"NaN",
    b"Infinity",
    b"-0.0",
    b"1e-400",
    b"9" * 25,
    b"9" * 5000,
    b"2e308",
    b"0x10",
    b"1_0",
)
_TEXTS = (
    b'"',
    b'"""',
    b"\\u0000",
    b"\\ud800",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\x1b]0;x\x07",
    b"[/]",
    "\u202e".encode(),
    "²".encode(),
)
_JSON = (
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\n",
    *_NUMBERS,
    *_TEXTS,
)
_FORMULA = (
    *(f"{name}(".encode() for name in (*FUNCTIONS, "sum", "__import__")),
    *(
        sign.encode()
        for sign in ("(", ")", "[", "]", ",", "+", "-", "*", "/", "**", "//", "x[0]", "x[", "b", "w[2]", "i")
    ),
    b"**9" * 30,
    b"(" * 40,
    b"sum(k, 0, 99999, ",
    b"lambda: ",
    *_NUMBERS,
    *_TEXTS,
)
_TOML = (
    b"\n[x]\n",
    b"\n[[baseline]]\n",
    b"=",
    b".",
    b"a." * 500,
    b"[" * 2000,
    b"'''",
    b"#",
    b"1979-05-27",
    b"07:32:00",
    *_JSON,
)

TARGETS: Mapping[str, Target] = {
    "preset": Target(_feed_preset, _presets, _TOML),
    "setting": Target(
        _feed_setting, _settings, (b"=", b".", b"baseline.", b"inputs.kind", b"baseline.\xc2\xb2.", *_TOML)
    ),
    "formula": Target(_feed_formula, _formulas, _FORMULA),
    "checkpoint": Target(
        _feed_checkpoint, lambda: [path.read_bytes() for path in (_OLD_RUN / "checkpoints").iterdir()], _JSON
    ),
    "optimizer": Target(_feed_optimizer, _optimizers, _JSON),
    "weights": Target(_feed_weights, _weights, (b"PK\x03\x04", b"\x93NUMPY", b"'shape': (", b"<f4", b"|O", *_NUMBERS)),
    "record": Target(_feed_record, _old("run.json"), _JSON),
    "events": Target(_feed_events, _events, _JSON),
    "command": Target(_feed_command, _commands, _JSON),
    "metrics": Target(
        _feed_metrics, _old("metrics.csv"), (b",", b"\n", b"\r", b"RNN", b"iteration,", b"#", *_NUMBERS, *_TEXTS)
    ),
    "data": Target(_feed_data, _data, (b",", b"\n", b"\x00\x00\x08\x03", b"\x1f\x8b", b"\xff" * 4, *_NUMBERS, *_TEXTS)),
}


def kept(name: str) -> Iterator[bytes]:
    """Yield the inputs of a target that have once failed."""
    for path in sorted(_CORPUS.glob(f"{name}-*")):
        yield path.read_bytes()
