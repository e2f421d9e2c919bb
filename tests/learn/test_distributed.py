"""Two processes on the loopback address make one run, as one process would have made it."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from galaxymorph.base import BadInput
from tests.conftest import QUICK, RECIPE, draw_nothing, galaxymorph
from tests.processes import Command

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[2]
# Launches processes that talk to each other, whether there are GPUs or not.
LAUNCH = [
    sys.executable,
    "-m",
    "accelerate.commands.launch",
    "--multi_gpu",
    "--num_machines",
    "1",
    "--num_processes",
    "2",
    "--mixed_precision",
    "no",
    "--dynamo_backend",
    "no",
    "--main_process_port",
    "0",
    "cli.py",
]


def launch(*arguments) -> subprocess.Popen:
    return subprocess.Popen(
        [*LAUNCH, *map(str, arguments)],
        cwd=ROOT,
        text=True,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def company(*arguments) -> list[Command]:
    """Start a command in two processes with the variables that a launcher sets, but at once."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return [
        Command(
            *arguments, env=os.environ | shared | {"RANK": n, "LOCAL_RANK": n}, prepare=draw_nothing
        )
        for n in "01"
    ]


def test_two_processes_make_the_run_of_one(simple, run, tmp_path):
    weights = ["--weights", run / "model.safetensors", "--frozen-epochs", "2", "--unfreeze", "1"]
    weights += ["--trunk-views", "3"]
    fit = ["fit", "--data", simple, "--recipe", RECIPE, *QUICK, *weights, "--out", tmp_path]
    assert galaxymorph(*fit, "--name", "one") == 0
    process = launch(*fit, "--name", "two")
    out, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    # What the others do isn't told twice.
    assert out.strip().splitlines()[-1] == str(tmp_path / "two")
    assert said.count("epoch 4/4") == 1
    one, two = tmp_path / "one", tmp_path / "two"
    # All that a run has, with figures and a page.
    assert {path.name for path in two.iterdir()} == {path.name for path in run.iterdir()}
    assert (two / "split.csv").read_bytes() == (one / "split.csv").read_bytes()
    histories = [pd.read_csv(path / "history.csv") for path in (one, two)]
    assert len(histories[1]) == 4
    # The processes draw other views, and BatchNorm sees halves of batches.
    assert (histories[0]["valid_loss"] - histories[1]["valid_loss"]).abs().max() < 0.3
    for path in (one, two):
        assert {"valid", "test"} <= set(json.loads((path / "metrics.json").read_text()))


def test_a_killed_company_is_gone_on_with_by_one(simple, tmp_path):
    fit = ["fit", "--data", simple, "--recipe", RECIPE, *QUICK, "--epochs", "300"]
    members = company(*fit, "--out", tmp_path, "--name", "run")
    started = time.monotonic()
    try:
        while not (tmp_path / "run" / "history.csv").exists():
            assert {member.poll() for member in members} == {None}
            assert time.monotonic() - started < 200
            time.sleep(0.1)
    finally:
        for member in members:
            member.kill()
    recipe = tmp_path / "run" / "recipe.json"
    told = json.loads(recipe.read_text())
    done = len(pd.read_csv(tmp_path / "run" / "history.csv"))
    told["recipe"]["epochs"] = done + 2
    recipe.write_text(json.dumps(told))
    assert galaxymorph("fit", "--resume", tmp_path / "run") == 0
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == done + 2


def test_bad_input_ends_all_of_them(tmp_path):
    members = company("fit", "--data", tmp_path / "nowhere", "--out", tmp_path)
    results = [member.result(120) for member in members]
    assert all(result.returncode != 0 for result in results)
    assert sum(result.stderr.count("error: ") for result in results) == 1


def test_adapting_takes_one_process(simple, tmp_path):
    fit = ["fit", "--data", simple, "--recipe", RECIPE, *QUICK, "--out", tmp_path]
    images = simple / "images_training_rev1"
    members = company(*fit, "--adapt", "coral", "--unlabelled", images)
    results = [member.result(120) for member in members]
    assert all(result.returncode != 0 for result in results)
    assert "not possible with several processes" in results[0].stderr


def test_a_fastai_without_the_private_method_is_named(monkeypatch):
    from galaxymorph.learn import distributed

    monkeypatch.setattr(distributed, "processes", lambda: 2)
    monkeypatch.delattr(distributed.DistributedDL, "_broadcast")
    with pytest.raises(BadInput, match="train in one process"), distributed.training_together(None):
        pass
