"""The same fine-tuning with Zoobot's own code: its head, then all of a resnet18, from scratch.

    pip install 'zoobot[pytorch]'
    python benchmarks/beside_zoobot.py --data CATALOGUE --labels-column label --images 2000
    python cli.py fit --data CATALOGUE --labels-column label --weights FILE --unfreeze 0

The images, split, batch, size, epochs and learning rates are the baseline's; transforms, loaders,
optimizer and training loop are Zoobot's defaults, with two workers. Prints seconds by step.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import pandas as pd

from galaxymorph.zoo import label_catalogue, read_catalogue, split_galaxies

START = time.perf_counter()


def main() -> None:
    """Train, test and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels-column")
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    parts, classes = split_table(arguments)
    tell("started")
    with tempfile.TemporaryDirectory() as folder:
        train(parts, classes, arguments.epochs, Path(folder))


def split_table(arguments: argparse.Namespace) -> tuple[dict[str, pd.DataFrame], int]:
    """Return the galaxies by part, as Zoobot wants them, and the number of classes."""
    catalogue = read_catalogue(arguments.data, arguments.labels_column)
    table, classes = label_catalogue(catalogue, "layer1")
    split = split_galaxies(table.head(arguments.images), classes, seed=0)
    split = split.assign(
        file_loc=split["image"],
        id_str=split["galaxy"].astype(str),
        label=pd.Index(classes).get_indexer(split["label"]),
    )
    return dict(list(split.groupby("split"))), len(classes)


def train(parts: dict[str, pd.DataFrame], classes: int, epochs: int, folder: Path) -> None:
    """Train the head, then everything, then predict the test part; print the seconds of each."""
    import timm
    import torch
    from galaxy_datasets import transforms
    from galaxy_datasets.pytorch.galaxy_datamodule import CatalogDataModule
    from zoobot.pytorch.training import finetune

    torch.manual_seed(0)
    views = [transforms.default_view_config(), transforms.minimal_view_config()]
    data = CatalogDataModule(
        label_cols=["label"],
        train_catalog=parts["train"],
        val_catalog=parts["valid"],
        test_catalog=parts["test"],
        batch_size=64,
        num_workers=2,
        train_transform=transforms.get_galaxy_transform(views[0]),
        test_transform=transforms.get_galaxy_transform(views[1]),
    )
    encoder = timm.create_model("resnet18", num_classes=0)
    for mode, rate in (("head_only", 3e-4), ("full", 1e-4)):
        # The mode before leaves it frozen.
        encoder.requires_grad_(True)
        model = finetune.FinetuneableZoobotClassifier(
            encoder=encoder,
            num_classes=classes,
            training_mode=mode,
            learning_rate=rate,
            prog_bar=False,
        )
        trainer = finetune.get_trainer(
            folder / mode, max_epochs=epochs, devices=1, default_root_dir=folder
        )
        trainer.fit(model, data)
        tell(mode)
    trainer.test(model, data)
    tell("tested")


def tell(step: str) -> None:
    """Print the seconds since the start."""
    print(f"{time.perf_counter() - START:7.1f} s  {step}", flush=True)


if __name__ == "__main__":
    main()
