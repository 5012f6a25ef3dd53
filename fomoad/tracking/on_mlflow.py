"""Records to runs of MLflow. Only this file knows MLflow."""

import contextlib
import os
import re
from typing import Final

from fomoad.tracking.record import Record

EXPERIMENT: Final = "fomoad"
EXPERIMENT_VARIABLE: Final = "MLFLOW_EXPERIMENT_NAME"
LONGEST_VALUE: Final = 500
MOST_PARAMETERS: Final = 100
"""In one call, as servers take them."""
PARENT_TAG: Final = "mlflow.parentRunId"
SURROUNDINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing goes to anybody but the server that was named
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder is one of the two things that --mlflow takes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # in place of seven, which take minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Set where the user has not set them."""
for _name, _value in SURROUNDINGS.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402  (reads these when it is imported)
from mlflow.entities import Metric, Param  # noqa: E402


class NotLoggedError(Exception):
    """Why a record was not logged, as part of a sentence."""


def write(uri: str, record: Record) -> str:
    """Log a record and its parts, and return the run's identifier. Raises NotLoggedError."""
    try:
        client = MlflowClient(tracking_uri=uri)
        name = os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT
        known = client.get_experiment_by_name(name)
        experiment = known.experiment_id if known else client.create_experiment(name)
        return _write(client, experiment, record, None)
    except Exception as error:  # MLflow, requests and urllib3 raise classes of their own, whatever the server does
        reason = without_password(" ".join(str(error).split()))[:200].rstrip(".")
        raise NotLoggedError(reason or type(error).__name__) from error


def _write(client: MlflowClient, experiment: str, record: Record, parent: str | None) -> str:
    tags = {} if parent is None else {PARENT_TAG: parent}
    run: str = client.create_run(experiment, run_name=record.name, tags=tags).info.run_id
    try:
        parameters = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in record.parameters.items()]
        figures = [Metric(key, float(value), 0, 0) for key, value in record.figures.items()]
        for start in range(0, len(parameters), MOST_PARAMETERS):
            client.log_batch(run, params=parameters[start : start + MOST_PARAMETERS])
        client.log_batch(run, metrics=figures)
        for path in record.files:
            if path.is_dir():
                client.log_artifacts(run, str(path), path.name)
            else:
                client.log_artifact(run, str(path))
        for part in record.parts:
            _write(client, experiment, part, run)
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)
    return run


def without_password(text: str) -> str:
    """A text without what stands before the host of an address."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)
