"""Names of models, and whose weights they stand for."""

from pydantic import Field

from pipeline.config.values import Day, Name, Section


class ModelWeights(Section):
    """Which weights a name stands for, valid [from, to): of a `provider`'s API, else of what is served. It goes before
    what is shipped. `precision` is of the weights as they are served: bf16, fp8, mxfp4.
    """

    model: str = Field(min_length=1, max_length=200)
    provider: Name | None = None
    weights: str = Field(min_length=1, max_length=200)
    precision: Name | None = None
    valid_from: Day | None = Field(default=None, alias="from")
    valid_to: Day | None = Field(default=None, alias="to")
