"""How a model that saw simulated galaxies alone, on the whole tree, does on real ones.

    python cli.py pretrain
    python benchmarks/sim_to_real.py --run exports/pretrain --layer1 KAGGLE --gz2-five FIVE

No real label is used but to score. A class is the largest of its predicted values: those of
`layer1`, and for the five clean classes the answer that each of them is cut by.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from galaxymorph.base import write_json
from galaxymorph.judge import bootstrap
from galaxymorph.predict import load_predictor
from galaxymorph.zoo import SCHEMES, label_catalogue, read_catalogue
from galaxymorph.zoo.schemes import class_values

# Of the cuts of each of the five classes, the last says most (Zhu et al. 2019).
DECIDING = {
    "smooth_round": "Class7.1",
    "smooth_inbetween": "Class7.2",
    "smooth_cigar": "Class7.3",
    "edge_on": "Class2.1",
    "spiral": "Class4.1",
}


def main() -> None:
    """Predict, score, print and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--layer1", type=Path, required=True, help="a catalogue with votes")
    parser.add_argument("--gz2-five", type=Path, required=True, help="one with a column `label`")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    predictor = load_predictor(arguments.run)
    results = {}
    for name, path, column in (
        ("layer1", arguments.layer1, None),
        ("gz2-five", arguments.gz2_five, "label"),
    ):
        table, classes = label_catalogue(read_catalogue(path, column), "layer1")
        votes = predictor.predict(list(table["image"]))
        values = (
            votes[list(DECIDING.values())].set_axis(list(DECIDING), axis=1)
            if column
            else class_values(SCHEMES["layer1"], votes)
        )
        results[name] = scored(table["label"], values[classes].idxmax(axis=1), classes)
        print(name, {key: results[name][key] for key in ("macro_f1", "accuracy")})
        print(pd.DataFrame(results[name]["confusion"], classes, classes), "\n")
    if arguments.output:
        write_json(arguments.output, results)


def scored(true: pd.Series, predicted: pd.Series, classes: list[str]) -> dict:
    """Return macro-F1 and accuracy with intervals, and the confusion matrix, rows the true."""
    true, predicted = true.to_numpy(), predicted.to_numpy()

    def scores(at) -> dict[str, float]:
        f1 = f1_score(true[at], predicted[at], labels=classes, average="macro", zero_division=0)
        return {"macro_f1": f1, "accuracy": accuracy_score(true[at], predicted[at])}

    confusion = confusion_matrix(true, predicted, labels=classes).tolist()
    return bootstrap(scores, len(true), seed=0) | {"galaxies": len(true), "confusion": confusion}


if __name__ == "__main__":
    main()
