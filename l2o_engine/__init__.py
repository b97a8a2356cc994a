"""Meta-training of learned optimizers, as a library.

One way through: a :class:`~l2o_engine.presets.schema.Preset` describes an experiment, a
:class:`~l2o_engine.live.session.Session` drives a trainer and writes a run's folder, and every front end reads the
session's events. Nothing here prints, and nothing here knows a screen.
"""
