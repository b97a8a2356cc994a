"""Which backend computes: ``torch``, the reference, takes every preset; ``fused`` is the compiled one's name."""

from dataclasses import dataclass

from l2o_engine.learner import Backend
from l2o_engine.preset import Preset, PresetError


@dataclass(frozen=True)
class Choice:
    """A backend, and why it was chosen where the user left that open."""

    backend: Backend
    reason: str


def check_backend(asked: str) -> None:
    """Raise PresetError if a backend asked for by name cannot be had."""
    if asked == "fused":
        raise PresetError('backend "fused" is not in this version yet; use "auto" or "torch"')


def make_backend(preset: Preset, asked: str) -> Choice:
    """Return the backend for a preset.

    Parameters
    ----------
    preset
        The experiment.
    asked
        "auto", "fused" or "torch".

    Raises
    ------
    PresetError
        If the backend asked for by name cannot take the preset.
    """
    check_backend(asked)
    from l2o_engine.unroll import TorchBackend  # imports torch, which takes a second: only once it is needed

    reason = "asked for" if asked == "torch" else "the reference is the only backend of this version"
    return Choice(TorchBackend(preset), reason)
