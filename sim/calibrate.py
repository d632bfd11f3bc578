"""Fit the shop to a user's own push log, report the fit, and write a scenario of it.

python -m sim.calibrate logs=pushes.csv
"""

from __future__ import annotations

import dataclasses
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sim.cli import fail


def write(result: Any, folder: Path) -> None:
    """Publish report, figure and scenario in `folder`, each file by temporary file and rename; the scenario last."""
    from sim.calibration import report, scenario
    from sim.report import dump_json, write_text

    numbers = dict(result.numbers)
    groups, table = numbers.pop("groups"), numbers.pop("catalog_csv")
    provenance = ["Fitted to a push log by python -m sim.calibrate; report.md beside this folder tells how well.", *result.facts]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        report.plot(Path(scratch) / "calibration.png", result)
        os.replace(Path(scratch) / "calibration.png", folder / "calibration.png")
    write_text(folder / "parameters.csv", report.to_csv(result.rows))
    write_text(folder / "report.md", report.to_markdown(result))
    dump_json(folder / "calibration.json", report.to_json(dataclasses.replace(result, numbers=numbers)))
    write_text(folder / "catalog.csv", table)
    (folder / "env").mkdir(exist_ok=True)
    scenario_text = scenario.to_yaml(groups, result.rows, numbers["visits"], folder, provenance)
    write_text(folder / "env" / "calibrated.yaml", scenario_text)


def run(arguments: Sequence[str]) -> None:
    """The job; raises where an argument or the log does not fit."""
    from sim.calibration.settings import read_settings

    settings = read_settings(arguments)
    from sim.calibration import calibration, report

    fresh = not settings.out.exists()
    settings.out.mkdir(parents=True, exist_ok=True)  # a folder that cannot be written is found out before the work
    try:
        result = calibration.calibrate(settings)
        write(result, settings.out)
    except BaseException:
        if fresh and not any(settings.out.iterdir()):
            settings.out.rmdir()
        raise
    report.print_tables(result)
    print(f"\neverything lies in {settings.out}: report.md, calibration.png, parameters.csv, calibration.json\n")
    print(f"run in this shop:\n  {result.command}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point of `python -m sim.calibrate`; returns the exit code: 0, 2 wrong input, 1 broken surroundings."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or any(argument in ("-h", "--help", "help") for argument in arguments):
        from sim.calibration.settings import HELP

        print(HELP)
        return 0 if arguments else 2
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        run(arguments)
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130
    except Exception as error:
        from sim.calibration.errors import LogError

        if type(error).__module__.split(".")[0] in ("hydra", "omegaconf"):
            return fail(LogError(str(error)))
        if not hasattr(error, "exit_code") and not isinstance(error, OSError):
            raise
        return fail(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
