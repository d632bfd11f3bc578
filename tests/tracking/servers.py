"""Real MLflow servers for tests, and a PostgreSQL of a test's own; both on this machine's loopback only."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, backend: str, port: int, seconds: float = 600) -> Iterator[str]:
    """`mlflow server` with its own artifact store in `folder`; killed at the end of the block."""
    log = open(folder / "server.log", "a")
    process = subprocess.Popen(
        [
            sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port),
            "--backend-store-uri", backend, "--artifacts-destination", str(folder / "artifacts"),
        ],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        start_new_session=True,
    )  # fmt: skip
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < until, (folder / "server.log").read_text()[-2000:]
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
        log.close()


def find_postgres() -> Path | None:
    """The folder of `initdb` and `pg_ctl`: on the path, or where Debian keeps it; None where there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return places[-1].parent if places else None


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL cluster of its own, as an address for MLflow; it refuses to run as root, so root runs it as `nobody`.

    It lies outside pytest's folders, which nobody but their owner may enter.
    """
    programs = find_postgres()
    assert programs is not None
    data, port = Path(tempfile.mkdtemp(prefix="postgres-")), free_port()
    user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(data, "nobody")
        user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]

    def run(*command: str) -> None:
        done = subprocess.run([*user, *command], capture_output=True, text=True, cwd=data, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    run(str(programs / "initdb"), "-D", str(data), "-U", "mlflow", "-A", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    run(str(programs / "pg_ctl"), "-D", str(data), "-l", str(data / "log"), "-w", "-t", "120", "-o", options, "start")
    try:
        yield f"postgresql://mlflow@127.0.0.1:{port}/postgres"
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(data, ignore_errors=True)
