"""Where the reference computes: on the CPU, or on an accelerator that torch has.

What a preset says is a name, and reading it loads no torch. Torch is asked what it has here where something else than
the CPU is wanted, before anything is made.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from l2o_engine.support.errors import UserError
from l2o_engine.support.settings import Words
from l2o_engine.support.wording import quote

CPU, AUTO = "cpu", "auto"

_NAME = re.compile(r"cpu|auto|mps|cuda(:[0-9]{1,2})?")
_NAMES = '"cpu", "auto", "cuda", "cuda:0", … or "mps"'


class DeviceError(UserError):
    """A device that cannot be had, or not for this. The message is meant for the user."""


def _check_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"must be {_NAMES}")
    return value


DeviceName: TypeAlias = Annotated[
    str, AfterValidator(_check_name), Words('`"cpu"`, `"auto"`, `"cuda"`, `"cuda:0"`, … or `"mps"`')
]
"""What a device is called in a preset."""


@dataclass(frozen=True)
class Device:
    """A device that is here.

    Attributes
    ----------
    name
        What torch calls it: "cpu", "cuda:0", "mps".
    title
        What it is; "" of the CPU.
    """

    name: str = CPU
    title: str = ""

    @property
    def is_cpu(self) -> bool:
        """Whether it is the CPU."""
        return self.name == CPU

    @property
    def has_own_memory(self) -> bool:
        """Whether what it computes with lies in memory of its own."""
        return self.name.startswith("cuda")

    def __str__(self) -> str:
        return f"{self.name} ({self.title})" if self.title else self.name


def on_device(backend: str, device: str) -> str:
    """Return who computes, and where, if that is not the CPU: "fused", "torch on cuda:0"."""
    return backend if device == CPU else f"{backend} on {device}"


def why_no_numbers(device: str, dtype: str) -> str:
    """Return why a device cannot compute in a dtype; "" if it can."""
    return "mps has no float64" if device == "mps" and dtype == "float64" else ""


def find_device(asked: str, dtype: str) -> Device:
    """Return the device that is meant. Only for "cpu" is torch not loaded.

    Parameters
    ----------
    asked
        "cpu"; "cuda", which is "cuda:0"; "cuda:1", …; "mps"; or "auto", the first accelerator that torch has here and
        that can compute in the dtype, else the CPU.
    dtype
        "float32" or "float64".

    Raises
    ------
    DeviceError
        If there is no such device, torch has it not here, or it cannot compute in the dtype.
    """
    if asked == CPU:
        return Device()
    if not _NAME.fullmatch(asked):
        raise DeviceError(f"there is no device {quote(asked)}: choose {_NAMES}")
    if why_not := why_no_numbers(asked, dtype):
        raise DeviceError(f'device "{asked}" cannot run this experiment: {why_not} (run.dtype)')
    here = _accelerators()
    if asked == AUTO:
        return next((one for one in here if not why_no_numbers(one.name, dtype)), Device())
    name = "cuda:0" if asked == "cuda" else asked
    found = next((one for one in here if one.name == name), None)
    if found is None:
        has = " and ".join(f'"{one.name}"' for one in (*here, Device()))
        raise DeviceError(f'there is no device "{asked}" here: torch {_torch_version()} has {has}')
    return found


def free_on(device: Device) -> int | None:
    """Return how many bytes are free in a device's own memory; None where it has none.

    Raises
    ------
    DeviceError
        If torch cannot use it after all.
    """
    if not device.has_own_memory:
        return None
    import torch

    try:
        free, _ = torch.cuda.mem_get_info(device.name)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"{device} cannot be used: {_first_line(error)}") from error
    return free


def _accelerators() -> list[Device]:
    """Return the accelerators that torch has here.

    Raises
    ------
    DeviceError
        If torch cannot say: a driver that is too old, a device that another process holds.
    """
    try:
        return list(_found())
    except (RuntimeError, AssertionError) as error:
        said = f"torch {_torch_version()} cannot tell what devices are here: {_first_line(error)}"
        raise DeviceError(said) from error


def _found() -> Iterator[Device]:
    import torch

    if torch.cuda.is_available():
        for place in range(torch.cuda.device_count()):
            yield Device(f"cuda:{place}", torch.cuda.get_device_name(place))
    if torch.backends.mps.is_available():
        yield Device("mps", "Apple's GPU")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _torch_version() -> str:
    import torch

    return str(torch.__version__)
