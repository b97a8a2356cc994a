"""The optimizer file: a trained optimizer, out of its run, as one safetensors file that anybody may have written.

Its tensors are the network's weights by their names; its metadata are the format, one JSON document with the rest, and
a digest of both. What it is made of is looked up in the registries by ``kind`` and built by its checked settings, so
nothing in the file is executed. How long it must be follows from these settings, so a file that lies about its sizes is
refused before its tensors are read; docs/optimizer-file.md has all of it.
"""

import json
import os
from collections.abc import Mapping
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from l2o_engine.optimizers.learned.exported import Exported, Origin, Seen
from l2o_engine.optimizers.learned.inputs.base import INPUTS
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.base import NETWORKS
from l2o_engine.support.arrays import Floats
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import open_to_read, write_atomically
from l2o_engine.support.memory import available_memory
from l2o_engine.support.registry import Registry
from l2o_engine.support.settings import table_of
from l2o_engine.support.tensor_file import Header, Place, TensorFileError, digest_of, header_of, to_bytes
from l2o_engine.support.wording import nearest, quote, size, some_of

FORMAT = "l2o-optimizer/1"
"""What is written and read."""

_FAMILY = FORMAT.partition("/")[0]
_MOST_HEADER = 250_000  # bytes; a preset, the greatest part of it, has some thousand. Parsed, it may be 20 times that

_Number = Annotated[float, Field(allow_inf_nan=False)]
_Range = tuple[_Number, _Number]
_Text = Annotated[str, Field(max_length=1000)]


class OptimizerFileError(UserError):
    """A file that holds no trained optimizer, or could not be written. The message is meant for the user."""


class _Part(BaseModel):
    """A part of the document. What only a later version says of where it comes from is passed over."""

    model_config = ConfigDict(strict=True, extra="ignore", allow_inf_nan=False)


class _Seen(_Part):
    loss: _Range
    gradient_rms: _Range


class _Origin(_Part):
    run: _Text
    preset: _Text
    problem: _Text
    seed: int = Field(ge=0, lt=2**63)
    iteration: int = Field(ge=-1, le=10**12)
    steps: int = Field(ge=0, le=10**9)
    seen: _Seen | None = None
    versions: dict[_Text, _Text] = Field(default_factory=dict)


class _Document(_Part):
    network: dict[str, Any]
    inputs: dict[str, Any]
    numbers: dict[str, float]
    dtype: Literal["float32", "float64"]
    digest: str
    origin: _Origin
    preset: dict[str, Any] = Field(default_factory=dict)


def write(exported: Exported, path: Path) -> None:
    """Write a trained optimizer, whole; see :meth:`~l2o_engine.optimizers.learned.exported.Exported.save`."""
    try:
        write_atomically(path, content_of(exported))
    except OSError as error:
        raise OptimizerFileError(f"{path}: cannot be written ({error.strerror or error})") from error


def content_of(exported: Exported) -> bytes:
    """Return the file's content: the same for the same optimizer, to the byte.

    Raises
    ------
    OptimizerFileError
        If its weights are not finite, or its settings are too many for a file.
    """
    layout, dtype = exported.learned.layout, str(exported.weights.dtype)
    named = layout.split(exported.weights)
    try:
        _check_finite(exported.weights, layout)
        if dtype not in ("float32", "float64"):
            raise TensorFileError(f"its weights are {dtype}, and not float32 or float64")
        text = json.dumps(_document_of(exported), allow_nan=False, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise OptimizerFileError(f"the optimizer of {exported.origin.run} cannot be written: {error}") from error
    content = to_bytes(named, {"format": FORMAT, "l2o": text, "sha256": digest_of(text, named)})
    if len(content) - exported.weights.nbytes > _MOST_HEADER:
        raise OptimizerFileError(
            f"the optimizer of {exported.origin.run} cannot be written: its settings are longer than {_MOST_HEADER:,} "
            "bytes"
        )
    return content


def _document_of(exported: Exported) -> dict[str, Any]:
    origin = vars(exported.origin)
    seen = exported.origin.seen
    return {
        "network": table_of(exported.learned.network),
        "inputs": table_of(exported.learned.inputs),
        "numbers": {name: float(value) for name, value in exported.numbers.items()},
        "dtype": str(exported.weights.dtype),
        "digest": exported.digest,
        "origin": origin | {"seen": seen and vars(seen), "versions": dict(exported.origin.versions)},
        "preset": dict(exported.tables),
    }


def read(path: Path, *, follows: bool = True) -> Exported:
    """Read a trained optimizer; see :meth:`~l2o_engine.optimizers.learned.exported.Exported.load`.

    Parameters
    ----------
    path
        The file.
    follows
        Whether a link is followed, as one that the user names is.
    """
    try:
        with open_to_read(path, follows=follows) as file:
            return _read(file)
    except OSError as error:
        raise OptimizerFileError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError, OverflowError) as error:
        raise OptimizerFileError(f"{path}: is no optimizer file that can be read: {error}") from error


def _read(file: BufferedReader) -> Exported:
    header = header_of(file, _MOST_HEADER)
    text = _text_in(header)
    document = _checked(text)
    learned = LearnedOptimizer(_built(NETWORKS, document.network, "network"), _built(INPUTS, document.inputs, "inputs"))
    if set(document.numbers) != set(learned.inputs.numbers):
        raise TensorFileError(f"its numbers are not those of its inputs: {_difference(document.numbers, learned)}")
    moved = {name: value for name, value in document.numbers.items() if name in document.inputs}
    _built(INPUTS, document.inputs | moved, "numbers")  # they are settings that moved, and have the same bounds
    layout, dtype = learned.layout, np.dtype(document.dtype)
    _admit(os.fstat(file.fileno()).st_size, header.end, layout.size * dtype.itemsize)
    _check_places(header.tensors, layout, dtype)
    weights = _weights_in(file, header, layout, dtype)
    if header.metadata.get("sha256") != digest_of(text, layout.split(weights)):
        raise TensorFileError("it is damaged: its sha256 does not fit")
    _check_finite(weights, layout)
    said = document.origin
    seen = said.seen and Seen(said.seen.loss, said.seen.gradient_rms)
    origin = Origin(**(vars(said) | {"seen": seen}))
    exported = Exported(learned, weights, document.numbers, origin, document.preset)
    if exported.digest != document.digest:
        raise TensorFileError("its digest is not that of what it holds")
    return exported


def _text_in(header: Header) -> str:
    """Return the document, of a file of this format."""
    said = header.metadata.get("format", "")
    if said != FORMAT:
        if said.partition("/")[0] == _FAMILY:
            raise TensorFileError(f"it is of format {quote(said)}, this version reads {quote(FORMAT)}")
        if "l2o" in header.metadata:
            raise TensorFileError("it is a run's checkpoint; `l2o-tui export RUN --format optimizer` makes one of it")
        raise TensorFileError("it is a safetensors file, and its metadata do not say that it is an optimizer")
    if "l2o" not in header.metadata:
        raise TensorFileError("its metadata have no document")
    return header.metadata["l2o"]


def _checked(text: str) -> _Document:
    try:
        return _Document.model_validate_json(text)
    except ValidationError as error:
        raise TensorFileError(f"its metadata are wrong: {_first_of(error)}") from error


def _built(registry: Registry[Any], table: Mapping[str, Any], name: str) -> Any:
    """Return the piece that a table describes.

    Raises
    ------
    TensorFileError
        If there is no such kind, or a setting is wrong.
    """
    kind, kinds = table.get("kind"), registry.kinds
    if not isinstance(kind, str) or kind not in kinds:
        raise TensorFileError(f"{name}.kind is {quote(kind)}, of which nothing is known{nearest(str(kind), kinds)}")
    try:
        return TypeAdapter(kinds[kind]).validate_python(dict(table))
    except ValidationError as error:
        raise TensorFileError(f"its {name} cannot be: {_first_of(error)}") from error


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def _difference(numbers: Mapping[str, float], learned: LearnedOptimizer) -> str:
    there, known = some_of(sorted(numbers)), some_of(sorted(learned.inputs.numbers))
    return f"{there or 'none'}, and not {known or 'none'}"


def _admit(length: int, header: int, weights: int) -> None:
    """Refuse a file that is not as long as its settings say, or that there is no memory for."""
    if length != header + weights:
        raise TensorFileError(
            f"it has {length - header:,} bytes of weights; an optimizer of its settings has {weights:,}"
        )
    free = available_memory()
    if free is not None and weights > free[0]:
        raise TensorFileError(f"its weights take {size(weights)} of memory; {free[1]} has {size(free[0])} free")


def _check_places(places: Mapping[str, Place], layout: Layout, dtype: np.dtype[Any]) -> None:
    """Make sure that the tensors are those of the layout, one behind the other without gap or overlap."""
    if missing := sorted(layout.shapes.keys() - places.keys()):
        raise TensorFileError(f"weights are missing: {some_of(missing)}")
    if foreign := sorted(places.keys() - layout.shapes.keys()):
        raise TensorFileError(f"it has weights that the network has not: {some_of(foreign)}")
    for name, shape in layout.shapes.items():
        place = places[name]
        if place.numpy_dtype != dtype:
            raise TensorFileError(f"{quote(name)} is {quote(place.numpy_dtype)} and not {dtype}")
        if tuple(place.shape) != shape:
            raise TensorFileError(f"{quote(name)} is {place.shape} and not {list(shape)}")
        if place.bytes != prod(shape) * dtype.itemsize:
            raise TensorFileError(f"{quote(name)} has {place.bytes:,} bytes, which is not what its shape takes")
    end = 0
    for name, place in sorted(places.items(), key=lambda one: one[1].first):
        if place.first != end:
            raise TensorFileError(f"{quote(name)} does not begin where the weights before it end")
        end += place.bytes


def _weights_in(file: BufferedReader, header: Header, layout: Layout, dtype: np.dtype[Any]) -> Floats:
    """Return the flat vector, read to where it belongs: nothing is held twice."""
    weights = np.empty(layout.size, dtype.newbyteorder("<"))
    for name, where, _ in layout.slices():
        file.seek(header.end + header.tensors[name].first)
        if file.readinto(weights[where].data.cast("B")) != weights[where].nbytes:
            raise TensorFileError("it became shorter while it was read")
    return weights.astype(dtype, copy=False)


def _check_finite(weights: Floats, layout: Layout) -> None:
    for name, where, _ in layout.slices():
        if not np.isfinite(weights[where]).all():
            raise TensorFileError(f"its network is lost: weights of {quote(name)} are not finite")
