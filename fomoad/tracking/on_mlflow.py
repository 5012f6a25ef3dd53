"""Records to runs of MLflow. Only this file knows MLflow."""

import contextlib
import os
import time
from typing import Final

from fomoad.tracking.failures import causes
from fomoad.tracking.record import Record

EXPERIMENT: Final = "fomoad"
EXPERIMENT_VARIABLE: Final = "MLFLOW_EXPERIMENT_NAME"
LONGEST_VALUE: Final = 500
MOST_PARAMETERS: Final = 100
"""In one call, as servers take them."""
PARENT_TAG: Final = "mlflow.parentRunId"
SURROUNDINGS: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing goes to anybody but the server that was named
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # it would show the password in it
    "MLFLOW_ALLOW_FILE_STORE": "true",  # a folder is one of the two things that --mlflow takes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # in place of seven, which take minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
"""Set where the user has not set them."""
for _name, _value in SURROUNDINGS.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient  # noqa: E402  (reads these when it is imported)
from mlflow.entities import Metric, Param  # noqa: E402


def write(uri: str, record: Record) -> str:
    """Log a record and its parts, and return the run's identifier.

    Raises exceptions of many classes: those of MLflow, requests and urllib3, whatever the server does.
    """
    client = MlflowClient(tracking_uri=uri)
    name = os.environ.get(EXPERIMENT_VARIABLE) or EXPERIMENT
    known = client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else client.create_experiment(name)
    return _write(client, experiment, record, None)


def _write(client: MlflowClient, experiment: str, record: Record, parent: str | None) -> str:
    tags = {} if parent is None else {PARENT_TAG: parent}
    run: str = client.create_run(experiment, run_name=record.name, tags=tags).info.run_id
    try:
        parameters = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in record.parameters.items()]
        now = time.time_ns() // 10**6
        figures = [Metric(key, float(value), now, 0) for key, value in record.figures.items()]
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
    except BaseException as error:
        if not any(isinstance(each, OSError) for each in causes(error)):  # else nobody would hear of it
            with contextlib.suppress(Exception):
                client.set_terminated(run, "FAILED")
        raise
    client.set_terminated(run)
    return run
