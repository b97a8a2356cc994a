"""What is known of an experiment before it is run, shown beside a run: what the notebook printed, or what we measured.

:class:`NotebookSettings` is a preset's [notebook], :class:`ReferenceSettings` its [reference]: ours, marked as such.
"""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from l2o_engine.support.settings import Positive, list_to_tuple

Finals = Annotated[tuple[float, ...], BeforeValidator(list_to_tuple)]
"""Final averages of several runs: the mean log10 of the last losses in the last report."""


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class PublishedRow(_Table):
    """What is known of an experiment at one meta-iteration.

    Attributes
    ----------
    it
        The meta-iteration.
    average_log_result
        Mean log10 of the last losses since the row before.
    """

    whose: ClassVar[str]

    it: int = Field(ge=0)
    average_log_result: float


class NotebookRow(PublishedRow):
    """One printed row of the notebook.

    Attributes
    ----------
    it
        The meta-iteration.
    sum_error
        Sum of the losses of this one meta-iteration.
    optim_result
        Its last loss.
    average_log_result
        Mean log10 of the last losses since the row before (Episode 2 calls it `av_log_res`).
    average_sum_log_result
        Mean log10 of the losses of all steps, not since the row before but since the start (`av_sum_log_res`).
    min_log
        An adaptive log casting's min_log.
    """

    whose: ClassVar[str] = "notebook"

    sum_error: float | None = None
    optim_result: float | None = None
    average_sum_log_result: float | None = None
    min_log: float | None = None


class ReferenceRow(PublishedRow):
    """One row of ours: the median over the reference's seeds.

    Attributes
    ----------
    it
        The meta-iteration.
    average_log_result
        Mean log10 of the last losses since the row before.
    """

    whose: ClassVar[str] = "reference"


class ReferenceSettings(_Table):
    """What our own seeds reached, medians over them, shown beside a run and marked as ours; no notebook printed it.

    Attributes
    ----------
    seeds
        Of how many seeds.
    held_out
        Mean log10 of the last loss on held-out draws.
    sum_loss
        Mean of the losses' sum on the same draws.
    tolerance
        Greatest distance from :attr:`held_out`, in powers of ten, at which a median over seeds counts as reproduced.
    rows
        What their reports said.
    """

    seeds: int = Field(ge=1)
    held_out: float
    sum_loss: float | None = None
    tolerance: Positive
    rows: Annotated[tuple[ReferenceRow, ...], BeforeValidator(list_to_tuple)] = ()

    @property
    def final(self) -> float | None:
        """The last row's average_log_result; None where there are no rows."""
        return self.rows[-1].average_log_result if self.rows else None


class NotebookSettings(_Table):
    """What the notebook printed of this experiment, shown beside ours, and what counts as reproducing it.

    Attributes
    ----------
    name
        The experiment's name there.
    episode
        Which part of the series it is from.
    tolerance
        Greatest distance from :attr:`final`, in powers of ten, at which our median over seeds counts as reproduced.
    other_finals
        The final averages of the notebook's other runs of it.
    independent_finals
        The final averages of an independent float32 implementation, one a seed.
    independent_lost
        How many more of its seeds were lost to NaN, and have no final.
    remark
        What a report says of how ours differs from it, line by line.
    rows
        What it printed.
    """

    name: str
    episode: Literal[1, 2] | None = None
    tolerance: Positive | None = None
    other_finals: Finals = ()
    independent_finals: Finals = ()
    independent_lost: int = Field(0, ge=0)
    remark: Annotated[tuple[str, ...], BeforeValidator(list_to_tuple)] | None = None
    rows: Annotated[tuple[NotebookRow, ...], BeforeValidator(list_to_tuple)] = ()

    @property
    def final(self) -> float | None:
        """The last row's average_log_result, which ours is compared with; None where there are no rows."""
        return self.rows[-1].average_log_result if self.rows else None
