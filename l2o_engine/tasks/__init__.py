"""What is optimized: a family draws tasks; each kind of family is one file here.

``base`` says what a family and a task are. The classes are names of this package: ``tasks.Quadratic(dims=2)``.
"""

from typing import Any

from l2o_engine.tasks.base import TASKS, Task, TaskFamily

__all__ = ["TASKS", "Task", "TaskFamily"]


def __getattr__(name: str) -> Any:
    return TASKS.named(name)


def __dir__() -> list[str]:
    return [*__all__, *(cls.__name__ for cls in TASKS)]
