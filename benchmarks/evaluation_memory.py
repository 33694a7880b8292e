"""Peak memory of an evaluation of many images beside that of a tenth of them, and what a second point decodes.

    python benchmarks/evaluation_memory.py [--images 50000] [--memory-mb 0]

Shards of small images are made in a temporary folder. Each evaluation is a process of its own: dense ``vit_digits``
with drawn weights, two points one after the other, decoded pixels kept up to ``--memory-mb`` in memory and the rest on
disk.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from _measure import Row, report, run
from PIL import Image

from dynvit.errors import InputError

WANTED_PCT = 5.0
SHARDS, DISTINCT, SIZE = 10, 200, 32

EVALUATION = """
import json, sys, tempfile
from pathlib import Path
from dynvit.data.kept import DiskAllowance
from dynvit.data.pixels import PixelBatches
from dynvit.interface import OperatingPoint
from dynvit.measurements.accuracy.evaluate import evaluate
from dynvit.session import SessionRequest, Wanted, open_session
session = open_session(SessionRequest(dataset="cifar10", backbone="vit_digits", data_dir=sys.argv[1]))
opened = session.open(Wanted.of("dense"))
batches = PixelBatches(
    session.split(), opened.preprocessing, memory_mb=int(sys.argv[2]), disk=DiskAllowance(16384)
)
for point in range(2):
    evaluate(opened.model, [OperatingPoint()], batches)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps({"images": len(batches.source), "decoded": batches.decoded, "kib": int(peak.split()[1])}))
"""


def make_shards(folder: Path, images: int) -> None:
    """Validation shards of so many small images, of which a few hundred differ."""
    draw = np.random.default_rng(0)
    distinct = [_png(draw.integers(0, 256, (SIZE, SIZE, 3), np.uint8)) for _ in range(DISTINCT)]
    for shard in range(SHARDS):
        with tarfile.open(folder / f"cifar10-validation-{shard:05}.tar", "w") as tar:
            for number in range(shard, images, SHARDS):
                _add(tar, f"{number:08}.png", distinct[number % DISTINCT])
                _add(tar, f"{number:08}.cls", str(number % 10).encode())


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png", compress_level=1)
    return content.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def peak_of(images: int, memory_mb: int) -> tuple[float, int]:
    """Peak memory of a process that evaluates so many images at two points, in MiB, and the images it decoded."""
    with tempfile.TemporaryDirectory() as folder:
        make_shards(Path(folder), images)
        command = [sys.executable, "-c", EVALUATION, folder, str(memory_mb)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"an evaluation of {images} images failed: {done.stderr.strip().splitlines()[-1]}")
    found = json.loads(done.stdout.splitlines()[-1])
    return found["kib"] / 1024, found["decoded"]


def main(images: int = 50_000, memory_mb: int = 0) -> None:
    """Compare the two."""
    if not Path("/proc/self/status").is_file():
        raise InputError("this measures a process's peak memory by /proc, which this system does not have")
    (few, few_decoded), (many, decoded) = peak_of(images // 10, memory_mb), peak_of(images, memory_mb)
    more_pct = 100 * (many / few - 1)
    report(
        f"an evaluation of {images:,} images",
        [
            Row(f"peak memory, {images // 10:,} images", f"{few:.0f} MiB"),
            Row(
                f"peak memory, {images:,} images",
                f"{many:.0f} MiB ({more_pct:+.1f} %)",
                f"≤ +{WANTED_PCT:g} %",
                more_pct <= WANTED_PCT,
            ),
            Row("images decoded for two points", f"{decoded:,}", f"{images:,}", decoded == images),
            Row("the same of the few", f"{few_decoded:,}", f"{images // 10:,}", few_decoded == images // 10),
        ],
    )


if __name__ == "__main__":
    run(main)
