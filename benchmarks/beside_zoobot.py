"""The same fine-tuning with Zoobot's own code: its head, then all of a resnet18, from scratch.

    pip install 'zoobot[pytorch]'
    python benchmarks/beside_zoobot.py --data CATALOGUE --labels-column label --images 2000
    python cli.py fit --data CATALOGUE --labels-column label --weights FILE --unfreeze 0

The images, split, batch, size, epochs and learning rates are the baseline's; transforms, loaders,
optimizer and training loop are Zoobot's defaults, with two workers. Prints seconds by step.

    python cli.py fit --arch local-dir:ENCODER --frozen-epochs 0 --unfreeze 0 --layer-decay 0.75 …
    python benchmarks/beside_zoobot.py --run exports/RUN

The second form repeats a run: its encoder, images, split, inputs, batch, epochs, rates and dropout.
Both then print the scores on the same test galaxies.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, f1_score

from galaxymorph.zoo import label_catalogue, read_catalogue, split_galaxies

START = time.perf_counter()


@dataclass(frozen=True)
class Task:
    """What is trained.

    Args:
        parts: the galaxies by part of the split, as Zoobot wants them.
        classes: how many.
        encoder: a name for `timm.create_model`; None for a resnet18 from scratch.
        stages: each one's mode and settings of Zoobot's module.
        epochs: of each stage.
        batch: of each step.
        views: changes of Zoobot's transforms.
    """

    parts: dict[str, pd.DataFrame]
    classes: int
    encoder: str | None = None
    stages: tuple[dict[str, Any], ...] = (
        {"training_mode": "head_only", "learning_rate": 3e-4},
        {"training_mode": "full", "learning_rate": 1e-4},
    )
    epochs: int = 3
    batch: int = 64
    views: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--labels-column")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--run", type=Path, help="a run on an encoder, to repeat")
    arguments = parser.parse_args()
    if (arguments.data is None) == (arguments.run is None):
        parser.error("give either --data or --run")
    task = task_of_run(arguments.run) if arguments.run else task_of_data(arguments)
    tell("started")
    with tempfile.TemporaryDirectory() as folder:
        train(task, Path(folder))


def task_of_data(arguments: argparse.Namespace) -> Task:
    """Return the baseline's settings on a catalogue."""
    catalogue = read_catalogue(arguments.data, arguments.labels_column)
    table, classes = label_catalogue(catalogue, "layer1")
    split = split_galaxies(table.head(arguments.images), classes, seed=0)
    return Task(parts_of(split, classes), len(classes), epochs=arguments.epochs)


def task_of_run(path: Path) -> Task:
    """Return the settings of a run on an encoder, and print the run's scores."""
    from galaxymorph.learn import Run, pixel_stats

    run = Run(path)
    recipe = run.recipe
    test = run.predictions("test")
    scores("GalaxyMorph", test["label"], test["predicted"])
    mean, std = pixel_stats(recipe)
    return Task(
        parts_of(run.split, run.classes),
        len(run.classes),
        recipe.weights,
        (
            {
                "training_mode": "full",
                "learning_rate": recipe.lr,
                "layer_decay": recipe.layer_decay,
                "head_dropout_prob": recipe.dropout,
                "weight_decay": recipe.weight_decay,
            },
        ),
        recipe.epochs,
        recipe.batch,
        {
            "output_size": recipe.size,
            "interpolation_method": recipe.interpolation,
            "normalize": {"mean": list(mean), "std": list(std)},
        },
    )


def parts_of(split: pd.DataFrame, classes: list[str]) -> dict[str, pd.DataFrame]:
    """Return the galaxies of each part, as Zoobot wants them."""
    split = split.assign(
        file_loc=split["image"],
        id_str=split["galaxy"].astype(str),
        label=pd.Index(classes).get_indexer(split["label"]),
    )
    return dict(list(split.groupby("split")))


def train(task: Task, folder: Path) -> None:
    """Train in stages, then predict the test part; print the seconds of each, and the scores."""
    import timm
    import torch
    from galaxy_datasets import transforms
    from galaxy_datasets.pytorch.galaxy_datamodule import CatalogDataModule
    from zoobot.pytorch.training import finetune

    torch.manual_seed(0)
    views = [transforms.default_view_config(), transforms.minimal_view_config()]
    for view in views:
        view.update(task.views)
    data = CatalogDataModule(
        label_cols=["label"],
        train_catalog=task.parts["train"],
        val_catalog=task.parts["valid"],
        test_catalog=task.parts["test"],
        predict_catalog=task.parts["test"],
        batch_size=task.batch,
        num_workers=2,
        train_transform=transforms.get_galaxy_transform(views[0]),
        test_transform=transforms.get_galaxy_transform(views[1]),
    )
    encoder = timm.create_model(
        task.encoder or "resnet18", pretrained=task.encoder is not None, num_classes=0
    )
    for number, settings in enumerate(task.stages):
        # The mode before leaves it frozen.
        encoder.requires_grad_(True)
        model = finetune.FinetuneableZoobotClassifier(
            encoder=encoder, num_classes=task.classes, prog_bar=False, **settings
        )
        trainer = finetune.get_trainer(
            folder / str(number), max_epochs=task.epochs, devices=1, default_root_dir=folder
        )
        trainer.fit(model, data)
        tell(settings["training_mode"])
    trainer.test(model, data)
    tell("tested")
    probabilities = torch.cat(trainer.predict(model, data)).numpy()
    scores("Zoobot", task.parts["test"]["label"], np.argmax(probabilities, axis=1))


def scores(name: str, truth: pd.Series, predicted: Any) -> None:
    """Print accuracy and macro-F1."""
    accuracy, f1 = accuracy_score(truth, predicted), f1_score(truth, predicted, average="macro")
    print(
        f"{name}: accuracy {accuracy:.3f}, macro-F1 {f1:.3f} on {len(truth)} galaxies", flush=True
    )


def tell(step: str) -> None:
    """Print the seconds since the start."""
    print(f"{time.perf_counter() - START:7.1f} s  {step}", flush=True)


if __name__ == "__main__":
    main()
