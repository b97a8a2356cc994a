"""Sweeps: one question asked of many runs, over settings and seeds, on the cores of this machine or on a cluster.

A study (``study``) says what is varied (``over``) and over how many seeds. Every run of it is a job (``jobs``,
``seeds``): a plain function of plain values, whose whole state is a run's folder, so a study that was interrupted or
killed goes on where it was. A course (``course``, ``sweep``) gives them to an executor: this machine's processes
(``workers``), or a Dask cluster (``cluster``). ``results`` says what came of the settings; ``halving`` gives up the
hopeless ones early. ``standing`` says how a study stands to whoever watches it, and ``steering`` lets him pause, go on
and stop it.
"""

from l2o_engine.studies.sweep.cluster import (
    DaskExecutor,
    LostSchedulerError,
    WorkerSeen,
    check_memory,
    check_workers,
    dask_executor,
    told_of,
)
from l2o_engine.studies.sweep.halving import Halving
from l2o_engine.studies.sweep.over import Over, Range, SweepError, parse_over
from l2o_engine.studies.sweep.results import SettingResult
from l2o_engine.studies.sweep.seeds import SeedOutcome
from l2o_engine.studies.sweep.standing import (
    JobStanding,
    JobState,
    SettingStanding,
    StudyStanding,
    StudyWatcher,
    frozen,
)
from l2o_engine.studies.sweep.steering import go_on_with_study, is_paused, pause_study, stop_study
from l2o_engine.studies.sweep.study import (
    PAUSE_FILE,
    STATE_FILE,
    STOP_FILE,
    STUDY_FILE,
    Draw,
    Study,
    StudySettings,
    StudyState,
    Variation,
    is_study,
    overs_of,
    presets_of,
    read_settings,
    read_state,
    read_study,
    study_of,
)
from l2o_engine.studies.sweep.sweep import Sweep
from l2o_engine.studies.sweep.workers import cores, process_pool, processes_for

__all__ = [
    "PAUSE_FILE",
    "STATE_FILE",
    "STOP_FILE",
    "STUDY_FILE",
    "DaskExecutor",
    "Draw",
    "Halving",
    "JobStanding",
    "JobState",
    "LostSchedulerError",
    "Over",
    "Range",
    "SeedOutcome",
    "SettingResult",
    "SettingStanding",
    "Study",
    "StudySettings",
    "StudyStanding",
    "StudyState",
    "StudyWatcher",
    "Sweep",
    "SweepError",
    "Variation",
    "WorkerSeen",
    "check_memory",
    "check_workers",
    "cores",
    "dask_executor",
    "frozen",
    "go_on_with_study",
    "is_paused",
    "is_study",
    "overs_of",
    "parse_over",
    "pause_study",
    "presets_of",
    "process_pool",
    "processes_for",
    "read_settings",
    "read_state",
    "read_study",
    "stop_study",
    "study_of",
    "told_of",
]
