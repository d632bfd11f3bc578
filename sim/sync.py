"""Bring MLflow up to date with what lies on this disk: records that it missed, and runs that died without a word.

python -m sim.sync            everything below outputs/
python -m sim.sync FOLDER     one run, or a folder of runs
"""

from __future__ import annotations

import sys
from pathlib import Path

from sim.tracking.errors import TrackingError
from sim.tracking.uri import default_uri, shown_uri

USAGE = """\
usage: python -m sim.sync [FOLDER]

Deliver to MLflow what it missed of the runs at or below FOLDER (outputs/ unless given), and end those that were killed
without a chance to say so.  As often as one likes: nothing is stored twice, and runs that still go on are left alone.
The address is $MLFLOW_TRACKING_URI, else mlflow.db in the project folder.
"""


def run(folder: Path) -> str:
    """Do it and return what was done, in one sentence.

    Raises
    ------
    TrackingError
        There is no spool at or below the folder.
    Exception
        Of MLflow, where it does not take the records.
    """
    from sim.tracking.store import MlflowStore
    from sim.tracking.sync import repair, sync

    uri = default_uri()
    done = sync(folder, uri)
    ended = repair(MlflowStore(uri)) if folder == Path("outputs") else 0
    parts = [f"{done['records']} records of {done['runs']} runs delivered to {shown_uri(uri)}"]
    parts += [f"{done['refused']} refused"] if done["refused"] else []
    parts += [f"{ended} dead runs ended"] if ended else []
    parts += [f"{done['alive']} runs still going on"] if done["alive"] else []
    return ", ".join(parts)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for wrong input, 1 for a store that does not answer."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if any(a in ("-h", "--help") for a in arguments) or len(arguments) > 1:
        print(USAGE, end="", file=sys.stdout if len(arguments) == 1 else sys.stderr)
        return 0 if len(arguments) == 1 else 2
    try:
        print(run(Path(arguments[0] if arguments else "outputs")))
    except TrackingError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        print(f"error: MLflow did not take the records: {str(error).splitlines()[0][:300]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
