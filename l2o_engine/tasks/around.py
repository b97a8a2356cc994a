"""A family around another one: what the two have in common."""

from collections.abc import Mapping

from l2o_engine.tasks.base import Group, TaskFamily


class Around(TaskFamily):
    """Tasks that are made of another family's, at points of the same coordinates.

    Attributes
    ----------
    inner
        The other family.
    """

    inner: TaskFamily

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the inner family."""
        return self.inner.shape

    @property
    def groups(self) -> Mapping[str, Group]:
        """As of the inner family."""
        return self.inner.groups

    @property
    def is_known(self) -> bool:
        """As of the inner family."""
        return self.inner.is_known

    @property
    def sources(self) -> Mapping[str, str]:
        """As of the inner family."""
        return self.inner.sources
