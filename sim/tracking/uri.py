"""The address of the MLflow store, and the folder for its artifacts.

One absolute SQLite file in the project folder, whatever the working directory: relative addresses would leave a
database in every Hydra output folder.  `MLFLOW_TRACKING_URI` names a server or another file.

`python -m sim.tracking` prints the address.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from sim.tracking.errors import TrackingError

SERVERS = ("http", "https")
DATABASES = ("postgresql", "mysql", "mssql")


def project_root() -> Path:
    """The folder of `pyproject.toml` and this package; the working directory where it is installed as a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def default_uri() -> str:
    """`MLFLOW_TRACKING_URI` where it is set, else `sqlite:///<project>/mlflow.db` with an absolute path.

    Raises
    ------
    TrackingError
        If `MLFLOW_TRACKING_URI` is not an address that MLflow can track to.
    """
    given = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return checked_uri(given, "MLFLOW_TRACKING_URI") if given else sqlite_uri(project_root() / "mlflow.db")


def sqlite_uri(path: Path | str) -> str:
    """The SQLAlchemy address of a SQLite file, absolute."""
    return f"sqlite:///{Path(path).expanduser().resolve().as_posix()}"


def checked_uri(uri: str, where: str = "tracking.uri") -> str:
    """`uri` with a relative SQLite path made absolute.

    Parameters
    ----------
    uri : str
        An address; a bare path that ends in `.db` is taken as a SQLite file.
    where : str
        Named in the error.

    Raises
    ------
    TrackingError
        If MLflow has no store behind such an address.
    """
    scheme = urlsplit(uri).scheme.split("+")[0]
    if scheme == "sqlite" and uri.startswith("sqlite:///") and len(uri) > len("sqlite:///"):
        return sqlite_uri(uri.removeprefix("sqlite:///"))
    if scheme in SERVERS and urlsplit(uri).hostname or scheme in DATABASES:
        return uri
    if not re.match(r"[a-z+]+:", uri) and uri.endswith(".db"):
        return sqlite_uri(uri)
    raise TrackingError(
        f"{where}={uri!r} is no address MLflow can track to; use sqlite:////absolute/path/mlflow.db or http://host:port"
    )


def sqlite_path(uri: str) -> Path | None:
    """The file behind a SQLite address, None for every other kind."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifact_location(uri: str, experiment: str) -> str | None:
    """`mlartifacts/<experiment>` beside the SQLite file, as a file address; None leaves the choice to a server."""
    path = sqlite_path(uri)
    if path is None:
        return None
    folder = re.sub(r"[^A-Za-z0-9._-]+", "-", experiment).strip("-.") or "experiment"
    return (path.parent / "mlartifacts" / folder).as_uri()


def shown_uri(uri: str) -> str:
    """`uri` without user name and password, for messages and files."""
    parts = urlsplit(uri)
    if parts.hostname is None or "@" not in parts.netloc:
        return uri
    return parts._replace(netloc=parts.netloc.rsplit("@", 1)[1]).geturl()
