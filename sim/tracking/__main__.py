"""`python -m sim.tracking` prints the MLflow address; `python -m sim.tracking metrics` the dictionary of metrics."""

from __future__ import annotations

import sys

from sim.tracking.errors import TrackingError
from sim.tracking.uri import default_uri

USAGE = "usage: python -m sim.tracking [metrics]        (deliver what MLflow missed: python -m sim.sync)"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if not arguments:
            print(default_uri())
        elif arguments == ["metrics"]:
            from sim.tracking.dictionary import as_markdown

            print(as_markdown(), end="")
        else:
            print(USAGE, file=sys.stderr)
            return 0 if arguments[0] in ("-h", "--help") else 2
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
