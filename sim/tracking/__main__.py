"""`python -m sim.tracking` prints the MLflow address; `python -m sim.tracking sync FOLDER` delivers what is left."""

from __future__ import annotations

import sys

from sim.tracking.errors import TrackingError
from sim.tracking.sync import sync
from sim.tracking.uri import default_uri, shown_uri

USAGE = "usage: python -m sim.tracking [sync FOLDER]"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if not arguments:
            print(default_uri())
        elif arguments[0] == "sync" and len(arguments) == 2:
            uri = default_uri()
            done = sync(arguments[1], uri)
            print(f"{done['records']} records of {done['runs']} runs delivered to {shown_uri(uri)}", end="")
            print(f", {done['refused']} refused" if done["refused"] else "")
        else:
            print(USAGE, file=sys.stderr)
            return 0 if arguments[0] in ("-h", "--help") else 2
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(f"error: MLflow did not take the records: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
