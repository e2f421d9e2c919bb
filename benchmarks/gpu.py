"""What a GPU does: every check and measurement on one card, in one command.

    python benchmarks/gpu.py                      # on the first card, under eight minutes
    python benchmarks/gpu.py --device cpu --toy   # the same checks at toy size, on any machine
    python benchmarks/gpu.py --only network bits  # some of them

Galaxies are simulated on the spot, or read from --data, and repeated where there are too few.
Every measurement runs in a process of its own. Ends with a table and one JSON file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results"
RECIPES = ("baseline", "small", "tree")
# A prediction may differ by this much between a card and a CPU, both in float32.
AGREEMENT = 1e-3


@dataclass(frozen=True)
class Setup:
    """What every check starts from."""

    device: str
    data: str
    work: str
    images: int
    size: int
    epochs: int
    weights: str
    workers: int
    recipes: list[str]


def main() -> None:
    """Check, measure, print and save; exit with 1 if a check failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "mps", "cpu"))
    parser.add_argument("--toy", action="store_true", help="few small images and one epoch")
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--data", type=Path, help="a catalogue in the challenge's layout")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=CHECKS,
        default=list(CHECKS)[:-1],
        help="challenge: a fit alone, with --images 61578",
    )
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    parser.add_argument("--minutes", type=float, default=8.0, help="start no check after these")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    parser.add_argument("--child", nargs=2, metavar=("NAME", "JSON"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, given = arguments.child
        print(json.dumps(CHILDREN[name](**json.loads(given))))
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="galaxymorph-gpu-") as work:
        setup = prepare(arguments, Path(work))
        results: dict[str, object] = {"setup": asdict(setup), **child("environment", setup)}
        for name in arguments.only:
            if time.monotonic() - started > 60 * arguments.minutes:
                results[name] = {"skipped": f"over {arguments.minutes:g} minutes"}
                continue
            results[name] = attempt(name, setup)
            save(arguments.out, results)
    results["seconds"] = round(time.monotonic() - started, 1)
    save(arguments.out, results)
    for row in table(results):
        print(row)
    print(arguments.out)
    sys.exit(1 if any(failed(results[name]) for name in arguments.only) else 0)


def save(path: Path, results: dict[str, object]) -> None:
    """Write the results so far: a card may be taken away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=2) + "\n")


def table(results: dict[str, object]) -> list[str]:
    """Return the results as rows of a Markdown table: check, quantity, value."""
    rows = ["| check | quantity | value |", "| --- | --- | --- |"]

    def add(check: str, quantity: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                add(check, f"{quantity}, {name}" if quantity else name, inner)
        elif value not in (None, []):
            rows.append(f"| {check} | {quantity} | {value} |")

    for check in CHECKS:
        if check in results:
            add(check, "", results[check])
    return rows


def attempt(name: str, setup: Setup) -> dict:
    """Return what a check measured, or how it failed; print both."""
    before = time.monotonic()
    try:
        result = CHECKS[name](setup)
    except Exception as error:
        traceback.print_exc()
        result = {"failed": f"{type(error).__name__}: {error}"[-1500:]}
    result["took"] = round(time.monotonic() - before, 1)
    print(f"== {name}\n{json.dumps(result, indent=1)}", flush=True)
    return result


def failed(result: object) -> bool:
    """Tell whether a check failed: it raised, or one of its `ok` is false."""
    return isinstance(result, dict) and ("failed" in result or result.get("ok") is False)


def prepare(arguments: argparse.Namespace, work: Path) -> Setup:
    """Make the catalogue and the weights that every check shares."""
    import torch
    import torchvision

    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18().state_dict(), work / "resnet18.pth")
    images = 240 if arguments.toy else arguments.images
    return Setup(
        device=arguments.device,
        data=str(make_catalogue(arguments.data, work, images)),
        work=str(work),
        images=images,
        size=64 if arguments.toy else 224,
        epochs=1 if arguments.toy else 3,
        weights=str(work / "resnet18.pth"),
        workers=0 if arguments.toy else min(16, os.cpu_count() or 1),
        recipes=arguments.recipes,
    )


def make_catalogue(source: Path | None, work: Path, images: int) -> Path:
    """Write a catalogue of that many galaxies, each file of bytes of its own."""
    import pandas as pd

    from galaxymorph.base import read_bytes
    from galaxymorph.zoo import read_catalogue

    if source is None:
        from galaxymorph.survey import Simulation, simulate

        source = simulate(work / "sky", Simulation(min(images, 2000), ("sdss",), seed=1))
    table = read_catalogue(source).table
    votes = table.drop(columns=["row", "galaxy", "image"])
    folder = work / "data" / "images_training_rev1"
    folder.mkdir(parents=True)
    contents = [read_bytes(reference) for reference in table["image"]]
    for at in range(images):
        # A comment after the image's end makes repeated ones differ, as galaxies do.
        (folder / f"{at + 1}.jpg").write_bytes(contents[at % len(table)] + str(at).encode())
    rows = pd.concat([votes] * (images // len(votes) + 1), ignore_index=True).head(images)
    rows.insert(0, "GalaxyID", range(1, images + 1))
    rows.to_csv(work / "data" / "training_solutions_rev1.csv", index=False)
    return work / "data"


# Processes ------------------------------------------------------------------------------------


def child(task: str, setup: Setup, seconds: float = 400, **given: object) -> dict:
    """Return what one of `CHILDREN` returns, from a process of its own."""
    command = [sys.executable, __file__, "--child", task]
    values = json.dumps({"setup": asdict(setup), **given})
    done = subprocess.run(
        [*command, values], capture_output=True, text=True, timeout=seconds, env=variables(setup)
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    result = json.loads(done.stdout.splitlines()[-1])
    print(f"   {task} {given.get('name', '')}: {done.stdout.splitlines()[-1]}"[:1000], flush=True)
    return result


def variables(setup: Setup, cache: str = "cache") -> dict[str, str]:
    """Return the environment of a process, with its own cache of decoded frames."""
    return {
        **os.environ,
        "GALAXYMORPH_CACHE": str(Path(setup.work) / cache),
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }


def command_line(setup: Setup, *arguments: object, cache: str = "cache") -> subprocess.Popen:
    """Start a command of the program."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)],
        env=variables(setup, cache),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen) -> tuple[str, str]:
    """Wait for a command; return what it printed.

    Raises:
        RuntimeError: it failed.
    """
    output, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(errors[-1500:])
    return output, errors


def fit_options(setup: Setup, name: str, *more: object) -> list[object]:
    """Return the arguments of a fit at the setup's size."""
    return [
        *("fit", "--data", setup.data, "--out", setup.work, "--name", name),
        *("--device", setup.device, "--seed", 1, *more),
    ]


# Fits -----------------------------------------------------------------------------------------


def variants(setup: Setup) -> dict[str, list[object]]:
    """Return the options of each fit that is timed; a plain one has fastai's own defaults."""
    size = ["--size", setup.size]
    published = ["--weights", setup.weights, *size]
    epochs = ["--frozen-epochs", setup.epochs, "--epochs", setup.epochs]
    small = ["--recipe", "small", "--epochs", 2 * setup.epochs]
    plain = ["--pipeline", "plain", "--precision", "fp32", "--workers", setup.workers]
    whole = ["--crop", 1, "--shift", 0]
    return {
        "baseline": [*published, *epochs],
        "baseline, plain fastai": [*published, *epochs, *plain],
        "small": small,
        "small, plain fastai": [*small, *plain, *whole],
        "tree": [*published, *epochs, "--target", "tree"],
        "tree, plain fastai": [*published, *epochs, "--target", "tree", *plain],
    }


def check_fits(setup: Setup) -> dict:
    """Time each fit beside plain fastai's, on the same images and for as many epochs."""
    result: dict[str, object] = {}
    chosen = [item for item in variants(setup).items() if item[0].split(",")[0] in setup.recipes]
    for at, (name, options) in enumerate(chosen):
        shutil.rmtree(Path(setup.work) / "cache", ignore_errors=True)
        result[name] = child("fit", setup, name=f"fit-{at}", options=options)
    for name in setup.recipes:
        fast, plain = result[name], result[f"{name}, plain fastai"]
        result[f"{name}: ratio"] = round(plain["train_seconds"] / fast["train_seconds"], 2)
    return result


def run_fit(setup: dict, name: str, options: list, limit_mib: int = 0) -> dict:
    """Fit in this process; return seconds, memory and scores.

    Args:
        setup: see `Setup`.
        name: of the run.
        options: of the command line.
        limit_mib: how much of a card's memory may be used, 0 for all.
    """
    from galaxymorph.api.fitting import start_fit
    from galaxymorph.api.options import FitOptions
    from galaxymorph.base.progress import printed_log
    from galaxymorph.judge import judge_run
    from galaxymorph.learn import train_run, use_device

    recipe, changes = parsed(options)
    use_device(setup["device"])
    limit_memory(setup["device"], limit_mib)
    lines = TimedLines()
    with contextlib.redirect_stderr(lines), printed_log(), busy(setup["device"]) as shares:
        before = time.perf_counter()
        options = FitOptions(
            data=Path(setup["data"]), recipe=recipe, out=Path(setup["work"]), name=name
        )
        run, galaxies = start_fit(options, changes)
        gathered = time.perf_counter()
        shares.clear()
        train_run(run, galaxies)
        synchronise(setup["device"])
        trained = time.perf_counter()
    judge_run(run)
    printed = lines.getvalue().splitlines()
    epochs = [
        at - lines.seconds[0]
        for at, line in zip(lines.seconds, printed, strict=True)
        if ", epoch " in line
    ]
    return {
        "gather_seconds": round(gathered - before, 2),
        "train_seconds": round(trained - gathered, 2),
        "seconds": round(time.perf_counter() - before, 2),
        "trained_images_per_second": round(trained_images(run) / (trained - gathered), 1),
        "card_busy_percent": round(sum(shares) / len(shares), 1) if shares else None,
        "epochs_ended_at": [round(at, 1) for at in epochs],
        "progress": [line for line in printed if "images/s" in line and " left" not in line],
        "out_of_memory": [line for line in printed if "out of GPU memory" in line],
        **scores(run),
        **memory(setup["device"]),
    }


class TimedLines(io.StringIO):
    """Lines of text, and the seconds of a clock at which each was ended."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def write(self, text: str) -> int:
        self.seconds += [time.perf_counter()] * text.count("\n")
        return super().write(text)


def limit_memory(device: str, mib: int) -> None:
    """Let this process use only so much of a card's memory."""
    import torch

    if device == "cuda" and mib:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, mib * 2**20 / total))


@contextlib.contextmanager
def busy(device: str) -> Iterator[list[float]]:
    """Sample, ten times a second, for how many per cent of the time a kernel ran on the card."""
    shares: list[float] = []
    try:
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:
        # Without the package, or without NVIDIA's driver, nothing is sampled.
        device = "none"
    stop = threading.Event()

    def sample() -> None:
        while not stop.wait(0.1):
            shares.append(float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu))

    thread = threading.Thread(target=sample, daemon=True)
    if device == "cuda":
        thread.start()
    try:
        yield shares
    finally:
        stop.set()
        if device == "cuda":
            thread.join()


def parsed(options: list) -> tuple[str, dict]:
    """Return the recipe's name and the changed settings of command-line options."""
    from galaxymorph.cli.fit import fit
    from galaxymorph.cli.options import given

    words = [str(option) for option in options]
    with fit.make_context("fit", words) as context:
        settings = {
            key: value
            for key, value in context.params.items()
            if context.get_parameter_source(key).name == "COMMANDLINE"
        }
        source = settings.pop("recipe", None) or "baseline"
        for name in ("data", "out", "name", "device"):
            settings.pop(name, None)
        return source, given(settings)


def trained_images(run) -> int:
    """Return how many images a run's epochs trained on."""
    import pandas as pd

    return len(pd.read_csv(run.path / "history.csv")) * int((run.split["split"] == "train").sum())


def scores(run) -> dict:
    """Return a run's test score, the first of its target's."""
    metrics = json.loads((run.path / "metrics.json").read_text())["test"]
    for name in ("macro_f1", "rmse"):
        if name in metrics:
            return {f"test_{name}": round(metrics[name]["value"], 4)}
    return {}


def memory(device: str) -> dict:
    """Return the most memory that tensors took on a card."""
    import torch

    if device != "cuda":
        return {}
    return {"peak_mib": torch.cuda.max_memory_allocated() >> 20}


def synchronise(device: str) -> None:
    """Wait for a card."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


# Networks -------------------------------------------------------------------------------------


def check_network(setup: Setup) -> dict:
    """Time training and inference of a resnet18 alone, by number format, layout and compiler."""
    return child("networks", setup)


def time_networks(setup: dict) -> dict:
    """Return what `time_network` measures of each variant."""
    precisions = ["fp32", "bf16"] if setup["device"] == "cpu" else ["fp32", "bf16", "fp16"]
    variants = [(precision, last, False) for precision in precisions for last in (False, True)]
    if setup["device"] == "cuda":
        variants.append(("bf16", True, True))
    result = {}
    for precision, last, compiled in variants:
        layout, how = (", channels-last" if last else ""), (", compiled" if compiled else "")
        result[precision + layout + how] = time_network(setup, precision, last, compiled)
    return result


def time_network(setup: dict, precision: str, last: bool, compiled: bool) -> dict:
    """Return images a second of a resnet18 on tensors that lie on the device."""
    import torch
    import torchvision

    device, size = setup["device"], setup["size"]
    batch = 64 if size > 200 else 8
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    layout = torch.channels_last if last else torch.contiguous_format
    model = torchvision.models.resnet18(num_classes=3).to(device, memory_format=layout)
    images = torch.randn(batch, 3, size, size, device=device).to(memory_format=layout)
    target = torch.arange(batch, device=device) % 3
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=device == "cuda")
    network = torch.compile(model) if compiled else model

    def train() -> None:
        with torch.autocast(device, dtype, enabled=precision != "fp32"):
            loss = torch.nn.functional.cross_entropy(network(images), target)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    def infer() -> None:
        with torch.inference_mode(), torch.autocast(device, dtype, enabled=precision != "fp32"):
            network(images)

    result = {}
    for name, step in (("train", train), ("infer", infer)):
        model.train(name == "train")
        before = time.perf_counter()
        step()
        synchronise(device)
        if compiled:
            result[f"{name}_warm_up_seconds"] = round(time.perf_counter() - before, 1)
        result[name] = rate(step, batch, device, 0.3 if size < 200 else 1.0)
    return {**result, **memory(device)}


def rate(step: Callable[[], object], images: int, device: str, seconds: float) -> float:
    """Return images a second of a step, repeated for some seconds."""
    for _ in range(3):
        step()
    synchronise(device)
    times, before = 0, time.perf_counter()
    while time.perf_counter() - before < seconds:
        for _ in range(5):
            step()
        synchronise(device)
        times += 5
    return round(images * times / (time.perf_counter() - before), 1)


# Loaders --------------------------------------------------------------------------------------


def check_loaders(setup: Setup) -> dict:
    """Time what feeds the network: decoding, frames, random views, stored features."""
    return child("loaders", setup)


def time_loaders(setup: dict) -> dict:
    """Return images a second of each step that stands before the network."""
    import torch

    from galaxymorph.images import cached_frames
    from galaxymorph.learn import make_learner, use_device
    from galaxymorph.learn.fit import start_run
    from galaxymorph.learn.galaxies import gather_galaxies
    from galaxymorph.learn.presets import make_recipe
    from galaxymorph.learn.recipe import item_frame

    device = setup["device"]
    use_device(device)
    changes = {"weights": setup["weights"], "size": setup["size"], "seed": 1}
    recipe = make_recipe("baseline", changes)
    before = time.perf_counter()
    galaxies = gather_galaxies(setup["data"], recipe)
    result = {"gather, cached or not": len(galaxies.table) / (time.perf_counter() - before)}
    before = time.perf_counter()
    cached_frames(list(galaxies.table["image"]), *item_frame(recipe))
    result["frames found in the cache"] = len(galaxies.table) / (time.perf_counter() - before)
    run = start_run(Path(setup["work"]) / "loaders", recipe, galaxies)
    learn = make_learner(run, run.split, galaxies.frames)
    for name in ("first epoch of the loader", "loader with random views"):
        before, visited = time.perf_counter(), 0
        for batch in learn.dls.train:
            visited += len(batch[0])
        synchronise(device)
        result[name] = visited / (time.perf_counter() - before)
    batch = learn.dls.train.one_batch()[0]
    raw = torch.randint(0, 255, (64, 3, setup["size"], setup["size"]), dtype=torch.uint8)
    raw = raw.to(device)
    from fastai.torch_core import TensorImage

    learn.dls.train.after_batch.split_idx = 0
    result["random views alone"] = rate(
        lambda: learn.dls.train.after_batch((TensorImage(raw),)), 64, device, 1.0
    )
    result["batch"] = f"{tuple(batch.shape)} on {batch.device}"
    return {k: round(v, 1) if isinstance(v, float) else v for k, v in result.items()}


# Predictions ----------------------------------------------------------------------------------


def check_predict(setup: Setup) -> dict:
    """Time predictions from JPEG files beside decoding alone; the card's own decoder too."""
    fitted(setup)
    return child("predict", setup, run=f"{setup.work}/fitted")


def fitted(setup: Setup) -> Path:
    """Return a baseline run, fitted once for the checks that need one."""
    path = Path(setup.work) / "fitted"
    if not path.exists():
        options = ["--weights", setup.weights, "--size", setup.size]
        child("fit", setup, name="fitted", options=[*options, "--frozen-epochs", 1, "--epochs", 1])
    return path


def time_predict(setup: dict, run: str) -> dict:
    """Return images a second of decoding, of predicting files, and of predicting pixels."""
    import torch
    import torchvision

    from galaxymorph.base.process import own_process
    from galaxymorph.images import centre_frame, decode, map_images
    from galaxymorph.learn import keep_freed_memory, use_device
    from galaxymorph.predict import load_predictor

    device, size = setup["device"], setup["size"]
    use_device(device)
    # As the command does.
    own_process()
    keep_freed_memory(room=2**27, steady=True)
    files = sorted(map(str, Path(setup["data"]).rglob("*.jpg")))
    cores = os.cpu_count() or 1

    def frame(file: str):
        return centre_frame(decode(file), 1.0, size)

    result: dict[str, object] = {"cores": cores}
    before = time.perf_counter()
    frames = list(map_images(frame, files, 256))
    result["decoding alone"] = len(files) / (time.perf_counter() - before)
    predictor = load_predictor(run)
    for name, images in (("from files", files), ("from decoded frames", frames)):
        predictor.outputs(images[:128], int)
        before = time.perf_counter()
        predictor.outputs(images, int)
        result[name] = len(files) / (time.perf_counter() - before)
    batch = torch.randn(256, 3, size, size, device=device)
    with torch.inference_mode():
        result["network alone"] = rate(lambda: predictor.models[0](batch), 256, device, 1.0)
    if device == "cuda":
        data = [torch.frombuffer(bytearray(Path(f).read_bytes()), dtype=torch.uint8) for f in files]
        try:
            before = time.perf_counter()
            for at in range(0, len(data), 256):
                torchvision.io.decode_jpeg(data[at : at + 256], device="cuda")
            synchronise(device)
            result["the card's decoder"] = len(data) / (time.perf_counter() - before)
        except RuntimeError as error:
            result["the card's decoder"] = str(error)[:200]
    result["of decoding's rate"] = result["from files"] / result["decoding alone"]
    return {k: round(v, 3) if isinstance(v, float) else v for k, v in result.items()}


# Promises -------------------------------------------------------------------------------------


def check_tests(setup: Setup) -> dict:
    """Run every test marked `gpu`."""
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=variables(setup))
    lines = done.stdout.strip().splitlines()
    return {"ok": done.returncode == 0, "output": lines[-30 if done.returncode else -1 :]}


def check_agreement(setup: Setup) -> dict:
    """Compare a model's predictions on the card and on a CPU, both in float32, and in bf16."""
    result = child("agreement", setup, run=str(fitted(setup)))
    return {"ok": result[f"{setup.device}, fp32"] <= AGREEMENT, "largest difference": result}


def predict_everywhere(setup: dict, run: str) -> dict:
    """Return the largest difference of a run's predictions from those of a CPU in float32."""
    import numpy as np

    from galaxymorph.learn import use_device
    from galaxymorph.predict import load_predictor

    files = sorted(map(str, Path(setup["data"]).rglob("*.jpg")))[:128]
    outputs = {}
    for device in dict.fromkeys(["cpu", setup["device"]]):
        for precision in ("fp32", "auto"):
            use_device(device)
            predictor = load_predictor(run, precision)
            outputs[f"{device}, {precision}"] = predictor.outputs(files, int)
    reference = outputs["cpu, fp32"]
    return {name: float(np.abs(returned - reference).max()) for name, returned in outputs.items()}


def check_bits(setup: Setup) -> dict:
    """Fit twice with one seed, whole networks and stored features; compare the weights' bits."""
    quick = ["--size", min(setup.size, 128), "--frozen-epochs", 1, "--epochs", 1]
    fits = {
        "baseline": ["--weights", setup.weights, *quick],
        "small": ["--recipe", "small", "--epochs", 1, "--size", min(setup.size, 128)],
        "tree": ["--weights", setup.weights, "--target", "tree", "--unfreeze", 0, *quick],
    }
    result = {
        name: child("twice", setup, name=f"bits-{name}", options=options)
        for name, options in fits.items()
        if name in setup.recipes
    }
    return {"ok": all(returned["same_bits"] for returned in result.values()), **result}


def fit_twice(setup: dict, name: str, options: list) -> dict:
    """Fit twice; tell whether the weights are the same to the bit, or which operations aren't."""
    import warnings

    import torch

    for turn in (1, 2):
        run_fit(setup, f"{name}-{turn}", options)
    files = [Path(setup["work"]) / f"{name}-{n}" / "model.safetensors" for n in (1, 2)]
    if files[0].read_bytes() == files[1].read_bytes():
        return {"same_bits": True}
    torch.use_deterministic_algorithms(True, warn_only=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run_fit(setup, f"{name}-3", options)
    return {
        "same_bits": False,
        "operations": sorted({str(entry.message)[:100] for entry in caught}),
    }


def check_resume(setup: Setup) -> dict:
    """Kill a fit in its last stage, go on with it, and compare with one that wasn't killed."""
    options = ["--weights", setup.weights, "--size", min(setup.size, 128)]
    options += ["--frozen-epochs", 1, "--epochs", 3]
    ended(command_line(setup, *fit_options(setup, "whole", *options)))
    process = command_line(setup, *fit_options(setup, "killed", *options))
    for line in process.stderr:
        if re.search(r"epoch 2/", line):
            process.send_signal(signal.SIGKILL)
            break
    process.wait()
    path = Path(setup.work) / "killed"
    stopped = not (path / "model.safetensors").exists()
    resume = ["fit", "--resume", path, "--device", setup.device]
    ended(command_line(setup, *resume))
    files = [Path(setup.work) / name / "model.safetensors" for name in ("whole", "killed")]
    same = files[0].read_bytes() == files[1].read_bytes()
    return {"ok": stopped and same, "was stopped": stopped, "same bits": same}


def check_memory(setup: Setup) -> dict:
    """Fit in six tenths of the memory that a fit takes; it goes on in parts of a batch."""
    if setup.device != "cuda":
        return {"skipped": "memory is limited on CUDA alone; the tests simulate its lack"}
    options = ["--weights", setup.weights, "--size", setup.size, "--batch", 256]
    options += ["--frozen-epochs", 0, "--epochs", 1, "--unfreeze", 0, "--target", "tree"]
    whole = child("fit", setup, name="whole-memory", options=options)
    limit = round(0.6 * whole["peak_mib"])
    split = child("fit", setup, name="less-memory", options=options, limit_mib=limit)
    return {"ok": bool(split["out_of_memory"]), "whole": whole, "limit_mib": limit, "split": split}


def check_together(setup: Setup) -> dict:
    """Train three models at once on one device, as an ensemble's might, and one alone."""
    options = ["--weights", setup.weights, "--size", setup.size]
    options += ["--frozen-epochs", setup.epochs, "--epochs", setup.epochs]

    def seconds(number: int) -> float:
        before = time.perf_counter()
        fits = [
            command_line(setup, *fit_options(setup, f"together-{number}-{at}", *options))
            for at in range(number)
        ]
        for fit in fits:
            ended(fit)
        return round(time.perf_counter() - before, 1)

    alone, three = seconds(1), seconds(3)
    return {"one": alone, "three at once": three, "gain": round(3 * alone / three, 2)}


def check_cards(setup: Setup) -> dict:
    """Train one model on two cards by `accelerate launch`."""
    import torch

    if setup.device != "cuda" or torch.cuda.device_count() < 2:
        return {"skipped": "there are no two cards"}
    options = ["--weights", setup.weights, "--size", setup.size, "--epochs", setup.epochs]
    launch = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2", str(ROOT / "cli.py")]
    before = time.perf_counter()
    process = subprocess.Popen(
        [*launch, *map(str, fit_options(setup, "two-cards", *options))],
        env=variables(setup),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    ended(process)
    return {"seconds": round(time.perf_counter() - before, 1)}


def check_challenge(setup: Setup) -> dict:
    """Fit a tree, 3 + 3 epochs, on all images: with --images 61578 the whole challenge's."""
    options = ["--weights", setup.weights, "--target", "tree"]
    return child("fit", setup, name="challenge", options=options)


def describe_environment(setup: dict) -> dict:
    """Return versions, and the card."""
    import torch

    from galaxymorph.learn import environment, use_device

    use_device(setup["device"])
    about = {"environment": environment()}
    if setup["device"] == "cuda":
        card = torch.cuda.get_device_properties(0)
        about["card"] = {
            "name": card.name,
            "memory_gib": round(card.total_memory / 2**30, 1),
            "cards": torch.cuda.device_count(),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
    return about


CHECKS: dict[str, Callable[[Setup], dict]] = {
    "tests": check_tests,
    "network": check_network,
    "loaders": check_loaders,
    "predict": check_predict,
    "fits": check_fits,
    "agreement": check_agreement,
    "bits": check_bits,
    "resume": check_resume,
    "memory": check_memory,
    "together": check_together,
    "cards": check_cards,
    "challenge": check_challenge,
}
CHILDREN: dict[str, Callable[..., dict]] = {
    "environment": describe_environment,
    "fit": run_fit,
    "loaders": time_loaders,
    "networks": time_networks,
    "agreement": predict_everywhere,
    "twice": fit_twice,
    "predict": time_predict,
}

if __name__ == "__main__":
    main()
