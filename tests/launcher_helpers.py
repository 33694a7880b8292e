"""Jobs that write down that they ran, and a real Slurm on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynvit.benchmark.cells import Cell
from dynvit.launchers.launcher import Job

# Says who it is, waits, and says that it is done; where KILLED is not there yet, kills itself in between.
SCRIPT = """
import os, signal, sys, time
from pathlib import Path
folder, name, wait, doom = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
(folder / f"begun-{name}-{os.getpid()}-{time.time_ns()}").touch()
print("begun", name, flush=True)
time.sleep(wait)
killed = folder / f"killed-{name}"
if doom == "self" and not killed.exists():
    killed.touch()
    os.kill(os.getpid(), signal.SIGKILL)
if doom == "always":
    sys.exit("it cannot be done")
(folder / f"done-{name}-{os.getpid()}-{time.time_ns()}").touch()
"""


def jobs_in(folder: Path, doomed: dict[str, str], wait_s: float = 0.1) -> Callable[[Cell], Job]:
    """The job of a cell; ``doomed`` says by name whether it kills itself once, ``self``, or fails ``always``."""

    def job(cell: Cell) -> Job:
        words = ("-c", SCRIPT, str(folder), cell.label, str(wait_s), doomed.get(cell.label, "none"))
        return Job(cell.name, words, str(folder), str(folder / f"{cell.label}.log"))

    return job


def counts(folder: Path, what: str) -> dict[str, int]:
    """How often each job said so."""
    found: dict[str, int] = {}
    for path in folder.glob(f"{what}-*"):
        name = path.name.split("-")[1]
        found[name] = found.get(name, 0) + 1
    return found


def free_port() -> int:
    """A port that nobody listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def slurm(folder: Path) -> Iterator[Path]:
    """A Slurm of one node with two slots, its daemons in ``folder``; its configuration file."""
    lacking = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if lacking:
        pytest.skip(f"Slurm is not installed: {', '.join(lacking)} (Debian: slurm-wlm, munge)")
    if os.getuid() != 0:
        pytest.skip("the daemons of Slurm need root")
    started = _munge()
    config = _configured(folder)
    daemons = []
    try:
        for name, seconds in (("slurmctld", 2.0), ("slurmd", 3.0)):
            log = (folder / f"{name}.out").open("wb")
            daemons.append(subprocess.Popen([name, "-D", "-f", str(config)], stdout=log, stderr=log))
            time.sleep(seconds)
        _wait_until_idle(config, daemons)
        yield config
    finally:
        for daemon in [*reversed(daemons), *started]:
            daemon.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                daemon.wait(20)
            if daemon.poll() is None:
                daemon.kill()


def _munge() -> list[subprocess.Popen[bytes]]:
    """munged, unless it runs already."""
    if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
        return []
    if not Path("/etc/munge/munge.key").exists():
        subprocess.run(["create-munge-key", "-f"], check=True, capture_output=True)
    run = Path("/run/munge")
    run.mkdir(exist_ok=True)
    shutil.chown(run, "munge", "munge")
    run.chmod(0o755)
    daemon = subprocess.Popen(["munged", "--foreground", "--force"], user="munge", group="munge", extra_groups=[])
    for _ in range(100):
        if subprocess.run(["munge", "-n"], capture_output=True).returncode == 0:
            return [daemon]
        time.sleep(0.1)
    daemon.kill()
    pytest.skip("munged does not start here")


def _configured(folder: Path) -> Path:
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    lines = [
        "ClusterName=test",
        f"SlurmctldHost={host}(127.0.0.1)",
        "SlurmUser=root",
        "SlurmdUser=root",
        "AuthType=auth/munge",
        "ProctrackType=proctrack/linuxproc",
        "TaskPlugin=task/none",
        "SelectType=select/cons_tres",
        "SelectTypeParameters=CR_Core",
        "ReturnToService=2",
        "JobRequeue=1",
        "MinJobAge=600",
        "KillWait=5",
        f"StateSaveLocation={folder / 'state'}",
        f"SlurmdSpoolDir={folder / 'spool'}",
        f"SlurmctldPidFile={folder / 'slurmctld.pid'}",
        f"SlurmdPidFile={folder / 'slurmd.pid'}",
        f"SlurmctldLogFile={folder / 'slurmctld.log'}",
        f"SlurmdLogFile={folder / 'slurmd.log'}",
        f"SlurmctldPort={free_port()}",
        f"SlurmdPort={free_port()}",
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=4000 State=UNKNOWN",
        "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
    ]
    config = folder / "slurm.conf"
    config.write_text("\n".join(lines) + "\n")
    return config


def _wait_until_idle(config: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    environment = {**os.environ, "SLURM_CONF": str(config)}
    said = ""
    for _ in range(60):
        if any(daemon.poll() is not None for daemon in daemons):
            break
        done = subprocess.run(["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True)
        said = done.stdout.strip() or done.stderr.strip()
        if said == "idle":
            return
        time.sleep(1)
    logs = "\n".join(path.read_text()[-2000:] for path in config.parent.glob("slurm*.log"))
    raise AssertionError(f"Slurm does not start: {said}\n{logs}")


def kill(pid: int) -> None:
    """End a process as a machine that is lost would."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
