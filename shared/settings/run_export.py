"""The settings of [run_export]: which other systems get the ended runs.

MLflow is not among them: its own environment variables say where its server is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.settings.sections import Section


class MongodbExportSettings(Section):
    """[run_export.mongodb]: ended runs as documents in MongoDB. Needs the extra "mongodb"."""

    url: str = Field(
        "", description="where to: mongodb://user:password@host:27017/DATABASE; empty: nowhere"
    )
    collection: str = Field(
        "model_runs", min_length=1, description="collection, one document a run"
    )
    models: list[str] = Field(
        default_factory=list, description="models whose runs are exported; empty: all"
    )
    statuses: Literal["hotfit", "success"] = Field(
        "hotfit",
        description="the words of `status`: those of the run log, or success and failed only",
    )


class RunExportSettings(Section):
    """[run_export]: systems that get the ended runs."""

    pointer_file: str = Field(
        "",
        pattern=r"^([\w-]{1,100}\.json)?$",
        description='name of a file, such as "current_model.json", that names the served version'
        " beside each model's reload signal, for programs that read one; empty: none",
    )

    mongodb: MongodbExportSettings = Field(default_factory=MongodbExportSettings)
