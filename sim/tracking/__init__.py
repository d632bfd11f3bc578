"""Where runs are written down: MLflow, local first.

`Tracker` opens runs; every record goes to a file in the run folder (`spool.jsonl`) before a background thread hands it
to MLflow, so that a dead or slow store neither stalls nor kills training and nothing is lost.  Importing this package
costs milliseconds: mlflow itself is imported when the first run starts.
"""

from sim.tracking.errors import TrackingError
from sim.tracking.names import flatten, metric_name
from sim.tracking.provenance import file_digest, git_state, library_versions
from sim.tracking.tracker import Run, Tracker
from sim.tracking.uri import default_uri, project_root

__all__ = [
    "Run",
    "Tracker",
    "TrackingError",
    "default_uri",
    "file_digest",
    "flatten",
    "git_state",
    "library_versions",
    "metric_name",
    "project_root",
]
