"""The saved comparison: which columns MLflow's run list shows, best run first.

MLflow keeps a shared view of its run list as a tag of the experiment, and opens it by the tag's key in the address:
`#/experiments/<id>/runs?viewStateShareKey=comparison`.  Every experiment that this project makes has one.
"""

from __future__ import annotations

import json

KEY = "comparison"
TAG = f"mlflow.sharedViewState.{KEY}"
METRICS = (
    "evaluate/value_per_customer", "evaluate_low/value_per_customer", "evaluate_high/value_per_customer", "evaluate/push_rate",
    "evaluate/opt_out_rate",
)  # fmt: skip
TAGS = ("seed", "camera_emotion")


def comparison_view() -> str:
    """The state of MLflow's run list as JSON: columns, order, nothing filtered but deleted runs."""
    columns = [f"metrics.`{name}`" for name in METRICS] + [f"tags.`{name}`" for name in TAGS]
    return json.dumps(
        {
            "searchFilter": "", "orderByKey": columns[0], "orderByAsc": False, "startTime": "ALL", "lifecycleFilter": "Active",
            "datasetsFilter": [], "modelVersionFilter": "All Runs", "selectedColumns": columns, "runsExpanded": {}, "runsPinned": [],
            "runsHidden": [], "viewMaximized": False, "runListHidden": False,
        }
    )  # fmt: skip
