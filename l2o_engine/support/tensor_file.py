"""A safetensors file: made, and read though it may be anybody's.

Such a file is the length of a header, the header (JSON: where each tensor lies, and metadata, texts by name), then the
tensors. Its header is read with a bound, and nothing that it says is acted on before it was checked; that no more is
read or held than a file can have is up to who knows which tensors it should have.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import IO, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

MOST_HEADER = 100_000_000
"""Bytes of a header: safetensors takes none that is longer."""

_LENGTH = 8  # bytes of the header's length
_ALIGNMENT = 8  # of the tensors: the header is filled with spaces up to it
_DTYPES = {"F32": "float32", "F64": "float64"}
_SAID = {
    b"PK\x03\x04": "a zip archive (what torch.save and numpy.savez write)",
    b"\x93NUMPY": "an array of NumPy's",
    b"\x1f\x8b": "a compressed file",
    b"\x80\x02": "a pickle, which could do anything when it is read, and is never read here",
    b"\x80\x03": "a pickle, which could do anything when it is read, and is never read here",
    b"\x80\x04": "a pickle, which could do anything when it is read, and is never read here",
    b"\x80\x05": "a pickle, which could do anything when it is read, and is never read here",
}

_Count = Annotated[int, Field(ge=0, lt=2**63)]


class TensorFileError(ValueError):
    """What is no safetensors file, or a damaged one; the message is a clause that says why."""


class Place(BaseModel):
    """Where a tensor lies, as a header says it.

    Attributes
    ----------
    dtype
        By safetensors' name: "F32".
    shape
        Its shape.
    data_offsets
        Where it begins and ends, in bytes behind the header.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    dtype: str
    shape: list[_Count]
    data_offsets: Annotated[list[_Count], Field(min_length=2, max_length=2)]

    @property
    def first(self) -> int:
        """Where it begins."""
        return self.data_offsets[0]

    @property
    def bytes(self) -> int:
        """How many bytes it has.

        Raises
        ------
        TensorFileError
            If it ends before it begins.
        """
        first, end = self.data_offsets
        if end < first:
            raise TensorFileError("a tensor ends before it begins")
        return end - first

    @property
    def numpy_dtype(self) -> str:
        """NumPy's name of the dtype; that of the file for one that is neither float32 nor float64."""
        return _DTYPES.get(self.dtype, self.dtype)


_PLACES, _METADATA = TypeAdapter(dict[str, Place]), TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Header:
    """What a file says of itself.

    Attributes
    ----------
    tensors
        Name → where it lies.
    metadata
        Name → text.
    end
        Where the header ends in the file, and the tensors begin.
    """

    tensors: Mapping[str, Place]
    metadata: Mapping[str, str]
    end: int


def header_of(content: bytes | IO[bytes], most: int = MOST_HEADER) -> Header:
    """Return the header of a file's content, or of an open file, which then stands at the header's end.

    Parameters
    ----------
    content
        The file.
    most
        Bytes that the header may have.

    Raises
    ------
    TensorFileError
        If there is none.
    """
    text = _header_in(content, most) if isinstance(content, bytes) else _header_read(content, most)
    try:
        raw = from_json(text, allow_inf_nan=False)
        if not isinstance(raw, dict):
            raise TensorFileError("its header is no table")
        metadata = _METADATA.validate_python(raw.pop("__metadata__", {}), strict=True)
        tensors = _PLACES.validate_python(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise TensorFileError(f"its header is wrong: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise TensorFileError(f"its header cannot be read: {error}") from error
    return Header(tensors, metadata, _LENGTH + len(text))


def _header_in(content: bytes, most: int) -> bytes:
    length = _checked_length(content[:_LENGTH], most)
    return _whole(content[_LENGTH : _LENGTH + length], length)


def _header_read(file: IO[bytes], most: int) -> bytes:
    length = _checked_length(file.read(_LENGTH), most)
    return _whole(file.read(length), length)


def _checked_length(beginning: bytes, most: int) -> int:
    for mark, what in _SAID.items():
        if beginning.startswith(mark):
            raise TensorFileError(f"it is {what}")
    if len(beginning) < _LENGTH:
        raise TensorFileError(f"it has {len(beginning)} bytes alone")
    length = int.from_bytes(beginning, "little")
    if length > most:
        raise TensorFileError(f"it claims a header of {length:,} bytes; {most:,} is the most")
    return length


def _whole(text: bytes, length: int) -> bytes:
    if len(text) < length:
        raise TensorFileError(f"it ends within its header, of which {len(text):,} of {length:,} bytes are there")
    return text


def digest_of(document: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256, in hexadecimal, of a text and of tensors with their names."""
    digest = sha256(document.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensors[name]).reshape(-1).data)  # without a copy, for it may be large
    return digest.hexdigest()


def to_bytes(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the file that holds tensors of float32 or float64, in their order: the same for the same, to the byte.

    (safetensors' own ``save`` writes the metadata in another order each time.)
    """
    codes, offset, pieces = {numpy: code for code, numpy in _DTYPES.items()}, 0, list[bytes]()
    said: dict[str, Any] = {"__metadata__": dict(metadata)}
    for name, values in tensors.items():
        pieces.append(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
        place = [offset, offset + len(pieces[-1])]
        said[name] = {"dtype": codes[str(values.dtype)], "shape": list(values.shape), "data_offsets": place}
        offset = place[1]
    header = json.dumps(said, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    return b"".join([len(header).to_bytes(_LENGTH, "little"), header, *pieces])
