"""Build the wheel and the source distribution, check them, and use the wheel as a newcomer does.

    make package

Everything is installed into temporary environments, which are removed; the distributions stay in
`dist/`. It takes 8 GB of disk space, mostly for PyTorch.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
# What predicting from an ONNX file needs, without and with GalaxyMorph.
EXAMPLE_NEEDS = ["numpy", "onnxruntime", "pillow"]
LIGHT_NEEDS = [
    *EXAMPLE_NEEDS,
    *("click", "filelock", "lazy_loader", "pandas", "pyarrow", "pydantic", "rich", "scipy"),
]
DOCUMENTS = ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "setup.cfg")


def run(*words: object, cwd: Path = ROOT) -> str:
    """Run a command and return its output; exit with it if it fails."""
    print("$", *(Path(word).name if isinstance(word, Path) else word for word in words), flush=True)
    # Nothing of the checkout is imported.
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, env=settings, stdout=subprocess.PIPE
    )
    output = done.stdout.decode()
    if done.returncode:
        sys.exit(f"{output}\nfailed with exit status {done.returncode}")
    return output


def environment(folder: Path, *packages: object) -> Path:
    """Make a virtual environment with packages, and return its `bin`."""
    run(sys.executable, "-m", "venv", folder)
    install(folder / "bin", *packages)
    return folder / "bin"


def install(programs: Path, *packages: object) -> None:
    """Install packages into an environment."""
    quiet = ("--quiet", "--disable-pip-version-check")
    run(programs / "python", "-m", "pip", "install", *quiet, *packages)


def build(work: Path) -> tuple[Path, Path]:
    """Build and check both distributions; return the wheel and the source distribution."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    programs = environment(work / "build", "build", "twine")
    # The wheel is built from the source distribution, which is so proven complete.
    run(programs / "python", "-m", "build", "--outdir", ROOT / "dist", ROOT)
    (wheel,), (source,) = (ROOT / "dist").glob("*.whl"), (ROOT / "dist").glob("*.tar.gz")
    print(run(programs / "twine", "check", "--strict", wheel, source), end="")
    return wheel, source


def check_files(wheel: Path, source: Path) -> None:
    """Exit unless both distributions have every file of the package, and the licence."""
    tracked = run("git", "ls-files", "galaxymorph").split()
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(source) as archive:
        in_source = {name.partition("/")[2] for name in archive.getnames()}
    lost = [f"wheel: {name}" for name in tracked if name not in in_wheel]
    lost += [f"source: {name}" for name in (*tracked, *DOCUMENTS) if name not in in_source]
    if not any(name.endswith("/licenses/LICENSE") for name in in_wheel):
        lost.append("wheel: LICENSE")
    others = {name.split("/")[0] for name in in_wheel if ".dist-info/" not in name}
    if lost or others != {"galaxymorph"}:
        sys.exit(f"missing: {lost}; in the wheel: {sorted(others)}")
    print(f"{len(tracked)} files of the package are in both distributions")


def use(wheel: Path, work: Path) -> tuple[Path, list[str], list[float]]:
    """Install the wheel, train and predict; return a model, images, and their probabilities."""
    programs = environment(work / "whole", wheel)
    command = programs / "galaxymorph"
    print(run(command, "--version", cwd=work), end="")
    # Too few galaxies for classes, which need four of each.
    small = ("--simulate", 60, "--target", "soft3", "--epochs", 1, "--size", 64)
    fit = ("fit", *small, "--name", "tiny")
    print(run(command, *fit, cwd=work), end="")
    galaxies = sorted(path for path in (work / "data").rglob("*.jpg"))[:4]
    images = [str(path) for path in galaxies]
    print(run(command, "predict", "exports/tiny", *images, cwd=work), end="")
    install(programs, f"{wheel}[onnx]")
    run(command, "export", "exports/tiny", "--format", "onnx", "-o", "model.onnx", cwd=work)
    exact = ("--precision", "fp32", "-o", "predictions.csv")
    run(command, "predict", "exports/tiny", *images, *exact, cwd=work)
    return work / "model.onnx", images, probabilities(work / "predictions.csv")


def use_without_torch(wheel: Path, work: Path, model: Path, images: list[str]) -> list[list[float]]:
    """Return the model's probabilities by the example, and by GalaxyMorph without PyTorch."""
    programs = environment(work / "light", *EXAMPLE_NEEDS)
    example = shutil.copy(ROOT / "docs" / "examples" / "predict_onnx.py", work)
    (work / "example.csv").write_text(
        run(programs / "python", example, model, *images, cwd=work), encoding="utf-8"
    )
    install(programs, *LIGHT_NEEDS)
    install(programs, "--no-deps", wheel)
    run(programs / "galaxymorph", "predict", model, *images, "-o", "light.csv", cwd=work)
    installed = run(programs / "python", "-m", "pip", "list", "--format", "freeze")
    if any(line.startswith(("torch", "fastai")) for line in installed.split()):
        sys.exit(f"PyTorch was installed: {installed}")
    return [probabilities(work / name) for name in ("example.csv", "light.csv")]


def probabilities(path: Path) -> list[float]:
    """Return the probabilities of a table of predictions, row by row."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("p_")] or list(rows[0])[1:]
    return [float(row[name]) for row in rows for name in names]


def main() -> None:
    """Build, check and use the distributions."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="galaxymorph-") as folder:
        work = Path(folder)
        wheel, source = build(work)
        check_files(wheel, source)
        model, images, expected = use(wheel, work)
        shutil.rmtree(work / "whole")
        for found in use_without_torch(wheel, work, model, images):
            difference = max(abs(a - b) for a, b in zip(expected, found, strict=True))
            print(f"without PyTorch, probabilities differ by at most {difference:.1e}")
            if difference > 1e-4:
                sys.exit(f"{found}\nisn't\n{expected}")
    print(f"{wheel.name} and {source.name} work ({time.monotonic() - start:.0f} s)")


if __name__ == "__main__":
    main()
