"""Which preset computes a golden file: from the name of an experiment in quest.json to the settings it means."""

from typing import Any

from l2o_engine.presets.files import check
from l2o_engine.presets.schema import Preset

# Episode 1 adds nothing to a loss inside a logarithm, Episode 2 adds 1e-38; "log43" and what needs memory is Episode 2.
_EPISODE_1 = 0.0
_EPISODE_2 = 1e-38

_IDENTITY: dict[str, Any] = {"kind": "identity"}
_LOG15 = {"kind": "log", "min_log": -15.0}
_LOG30 = {"kind": "log", "min_log": -30.0}
_LOG43 = {"kind": "log", "min_log": -43.0, "residual": "exp(min_log)"}
_RATIO = {"kind": "ratio"}

# Experiment → inputs, objective, the objective's residual. min_log of logv and logdiv is fixed in the golden files.
_EXPERIMENTS: dict[str, tuple[dict[str, Any], str, float]] = {
    "simple_sum": (_IDENTITY, "sum", _EPISODE_1),
    "simple_end": (_IDENTITY, "end", _EPISODE_1),
    "simple_end_log": (_IDENTITY, "end_log", _EPISODE_1),
    "log15_end": (_LOG15, "end", _EPISODE_1),
    "log15_end_log": (_LOG15, "end_log", _EPISODE_1),
    "log30_end_log": (_LOG30, "end_log", _EPISODE_1),
    "log43_end_log": (_LOG43, "end_log", _EPISODE_2),
    "logv_end_log": ({"kind": "log", "min_log": -5.0, "residual": 1e-38}, "end_log", _EPISODE_2),
    "logv_sum_log": ({"kind": "log", "min_log": -21.5, "residual": 1e-38}, "sum_log", _EPISODE_2),
    "div_end": (_RATIO, "end", _EPISODE_2),
    "div_sum_log": (_RATIO, "sum_log", _EPISODE_2),
    "logdiv_sum_log": ({"kind": "ratio_log", "min_log": -5.0}, "sum_log", _EPISODE_2),
}

_FIRST_ORDER = "_first_order"


def golden_preset(experiment: str, dtype: str) -> Preset:
    """Return the preset of a golden experiment.

    Raises
    ------
    LookupError
        If the experiment is none of those known here.
    """
    name = experiment.removesuffix(_FIRST_ORDER)
    if name not in _EXPERIMENTS:
        raise LookupError(f'no preset is known for the golden experiment "{experiment}"')
    inputs, objective, residual = _EXPERIMENTS[name]
    return check(
        {
            "name": experiment,
            "unroll": {"second_derivatives": name == experiment},
            "inputs": inputs,
            "objective": {"kind": objective, "residual": residual},
            "run": {"dtype": dtype},
        }
    )
