"""Reproducing the notebook: its experiments over several seeds, in as many processes as there are cores.

One seed of one experiment is a job, and its whole state is a run's folder. What is done is read from there, so a
reproduction that was interrupted, or killed, goes on where it was when it is started again.
"""

from l2o_engine.studies.reproduction.course import Reproduction, Standing
from l2o_engine.studies.reproduction.experiments import GROUPS, ReproductionError, experiments_of, whose_data_is_there
from l2o_engine.studies.reproduction.jobs import Outcome, run_job
from l2o_engine.studies.reproduction.results import FEW_SEEDS, NOTEBOOK_LEVELS, Result, wall_seconds
from l2o_engine.studies.reproduction.rivalry import COUNTS, Judgement, Rivalry, judged_results, sees_curvature
from l2o_engine.studies.sweep.jobs import Job
from l2o_engine.studies.sweep.workers import cores, process_pool

__all__ = [
    "COUNTS",
    "FEW_SEEDS",
    "GROUPS",
    "NOTEBOOK_LEVELS",
    "Job",
    "Judgement",
    "Outcome",
    "Reproduction",
    "ReproductionError",
    "Result",
    "Rivalry",
    "Standing",
    "cores",
    "experiments_of",
    "judged_results",
    "process_pool",
    "run_job",
    "sees_curvature",
    "wall_seconds",
    "whose_data_is_there",
]
