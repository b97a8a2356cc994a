"""Judging optimizers on tasks that nobody has trained on: their own problem's, another's, over longer horizons.

All of one problem are judged on the same draws, those of a seed's stream of held-out tasks, and beside the trained ones
the hand-designed rivals of that problem's preset.
"""

from l2o_engine.studies.evaluation.judging import DRAWS, Judged, judge
from l2o_engine.studies.evaluation.looks import curves_on, other_problems
from l2o_engine.studies.evaluation.matches import (
    EvaluationError,
    Match,
    Network,
    Problem,
    Source,
    matches_on,
    network_of_file,
    networks_of,
    own_matches,
    preset_of,
)
from l2o_engine.studies.evaluation.rankings import Contender, Ranking, rankings_of

__all__ = [
    "DRAWS",
    "Contender",
    "EvaluationError",
    "Judged",
    "Match",
    "Network",
    "Problem",
    "Ranking",
    "Source",
    "curves_on",
    "judge",
    "matches_on",
    "network_of_file",
    "networks_of",
    "other_problems",
    "own_matches",
    "preset_of",
    "rankings_of",
]
