"""The options of every command, as the command line and Python take them, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galaxymorph.base import BadInput, setting
from galaxymorph.base.options import NamesIn, option
from galaxymorph.images.rendering import STRETCHES
from galaxymorph.judge.robustness.conditions import SUITES
from galaxymorph.judge.tables.settings import JudgeSettings
from galaxymorph.learn.presets import RECIPES
from galaxymorph.learn.recipe import Recipe
from galaxymorph.predict.options import (
    BANDS,
    BANDS_METAVAR,
    STRETCH,
    VIEWS,
    PredictionOptions,
    TableColumns,
)
from galaxymorph.zoo.schemas import SCHEMAS

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True)
class Device:
    """The option of what runs a network."""

    device: str = option(
        "Device for networks; auto: a GPU if there is one.",
        "auto",
        choices=DEVICES,
        group="hardware",
    )


@dataclass(frozen=True)
class Figures:
    """The option of what draws."""

    figures: str = option(
        "File formats of figures in addition to PNG, at the width of a journal's column or page.",
        "png",
        metavar="pdf,svg,png",
        group="evaluation",
    )


@dataclass(frozen=True)
class MovedData:
    """The option of what needs a run's catalogue again."""

    data: Path | None = option("New location of the catalogue, if it has moved.")


@dataclass(frozen=True)
class Rendered:
    """The options of what reads FITS images."""

    stretch: str | None = option(STRETCH, choices=STRETCHES)
    bands: str | None = option(BANDS, metavar=BANDS_METAVAR)


@dataclass(frozen=True)
class FitOptions(Figures, Device):
    """Where a fit's galaxies and recipe come from, and where its run goes."""

    data: Path | None = option(
        "Catalogue: a folder or zip in Kaggle's layout, or a table.  [default: data/]", group="data"
    )
    recipe: str | None = option(
        f"A preset ({', '.join(RECIPES)}), described below, or a JSON file, such as a run's "
        "recipe.json. Default: baseline for 10,000 galaxies or more if ImageNet weights are "
        "available, otherwise quick.",
        metavar="NAME|FILE",
        group="run",
    )
    out: Path | None = option(
        "Folder in which the run is created.  [default: exports/]", group="run"
    )
    name: str | None = option("Name of the run. Default: derived from the recipe.", group="run")
    resume: Path | None = option(
        "Continue an interrupted fit. The only other setting allowed is --data.",
        metavar="RUN",
        group="run",
    )
    simulate: int | None = option(
        "Galaxies to simulate if there is no data; the classes need 120 or more.  [default: 3000]",
        limits=(1, None),
        metavar="INTEGER",
        group="data",
    )
    skip_bad: bool = option(
        "Exclude bad rows, list them in rejected.csv, and continue.", False, group="data"
    )
    cache: bool = option(
        "Store decoded images on disk, for this and later fits.", True, group="data"
    )


@dataclass(frozen=True)
class PretrainOptions(Device):
    """What a backbone is trained on, and where its run goes."""

    data: Path | None = option(
        "Catalogue of real galaxies, by which epochs are judged; the simulated galaxies then only "
        "train, as a further catalogue.  [default: the simulated galaxies]",
        group="data",
    )
    sky: Path = option(
        "Folder of simulated galaxies; simulated or completed if they are missing.",
        Path("data/pretraining"),
        group="data",
    )
    n: int | None = option(
        "Galaxies to simulate.  [default: 40000]", limits=(1, None), metavar="INTEGER", group="data"
    )
    out: Path = option("Folder in which the run is created.", Path("exports"), group="run")
    name: str = option("Name of the run.", "pretrain", group="run")


@dataclass(frozen=True)
class ReproduceOptions(MovedData, Device):
    """How a run is trained again."""


@dataclass(frozen=True)
class CalibrateOptions(Figures):
    """How a run is calibrated."""

    method: str | None = option(
        "Calibration method. Default: the simplest method whose cross-validated NLL is within one"
        " standard error of the smallest, among those for which there are enough galaxies.",
        choices=NamesIn("galaxymorph.judge", "CALIBRATORS"),
    )
    coverage: float | None = option(
        "Probability with which a prediction set contains the true class.  [default: 0.9]",
        metavar="SHARE",
        parse=PredictionOptions.__dataclass_fields__["coverage"].metadata["parse"],
    )
    apply: Path | None = option(
        "Table of further predictions of the model that `judge` made the run of: its rows are "
        "written to -o with calibrated columns and prediction sets. The run's calibration is used "
        "as it is, unless it has none or an option of it is given.",
        metavar="TABLE",
    )
    output: Path | None = option(
        "With --apply: table to write, .csv or .parquet.", flags=("-o", "--output")
    )
    sets: str | None = option(
        "Score of prediction sets: lac (least ambiguous sets), aps (adaptive sets) or raps "
        "(regularised adaptive sets).  [default: lac]",
        choices=NamesIn("galaxymorph.judge", "SET_METHODS"),
    )
    also: tuple[str, ...] = option(
        "Further labelled galaxies that calibrate a tree: votes, which `predict --votes` then "
        "gives, or with labels=COLUMN,scheme=NAME classes; as for fit. May be repeated.",
        (),
        metavar="PATH[,key=value...]",
    )


@dataclass(frozen=True)
class JudgeOptions(JudgeSettings, Figures):
    """What tables of predictions and labels hold, and where their run goes."""

    labels: Path | None = option(
        "Table of votes or class names. Default: the table of predictions has them too.",
        group="labels",
    )
    out: Path = option("Folder in which the run is created.", Path("exports"), group="run")
    name: str | None = option("Name of the run. Default: derived from the table's.", group="run")


@dataclass(frozen=True)
class Most:
    """The option of what draws galleries."""

    most: int = option("Galaxies per gallery.", 20, limits=(1, 200))


@dataclass(frozen=True)
class UncertaintyOptions(Most, Figures, MovedData, Device):
    """How the sources of a run's uncertainty are drawn."""


@dataclass(frozen=True)
class InterpretOptions(Most, Figures, MovedData, Device):
    """Which galaxies of a run are drawn."""

    part: str = option(
        "Part of the split whose galaxies are drawn.", "test", choices=("test", "valid")
    )
    galaxy: str | None = option(
        "Draw the path of this galaxy down the decision tree instead, with observed and predicted"
        " fractions.",
        metavar="ID",
    )


@dataclass(frozen=True)
class ExplainOptions(Figures, MovedData, Device):
    """What of a run's predictions is explained."""

    method: tuple[str, ...] = option(
        "Attribution method; can be given several times. Default: all.",
        (),
        choices=NamesIn("galaxymorph.judge", "ATTRIBUTION_METHODS"),
    )
    limit: int | None = option(
        "Galaxies in each step, drawn at random with the run's seed. Default: as many as take a "
        "minute or two per step.",
        limits=(1, None),
        metavar="N",
    )
    similar: str | None = option(
        "Draw the galaxies most similar to this one instead.", metavar="ID"
    )


def parse_severities(text: str) -> tuple[int, ...]:
    """Return severities of corruptions.

    Raises:
        BadInput: one isn't a number from 1 to 5.
    """
    parts = text.split(",")
    if not all(part.strip() in {"1", "2", "3", "4", "5"} for part in parts):
        raise BadInput(f"{setting('severities')} {text}", "give numbers from 1 to 5, such as 1,3,5")
    return tuple(int(part) for part in parts)


@dataclass(frozen=True)
class RobustnessOptions(Figures, Device):
    """What a measurement of robustness tests, and how."""

    suite: str = option(
        "; ".join(f"{name}: {suite.label}" for name, suite in SUITES.items()) + ".",
        "full",
        choices=SUITES,
    )
    severities: tuple[int, ...] | None = option(
        "Severities of a suite without its own, such as full.  [default: 1,2,3,4,5]",
        metavar="N[,N...]",
        parse=parse_severities,
    )
    limit: int | None = option(
        "Number of test galaxies, drawn at random with the run's seed.", limits=(16, None)
    )
    views: int | None = option(
        "Views averaged: 1, 4 (rotations by 90°) or 8 (rotations and flips). Default: 1 in the "
        "full suite, the run's own in the published suite.",
        choices=VIEWS,
    )
    reference: Path | None = option(
        "Report corruption errors relative to this run, which must have been measured with the "
        "same options.",
        metavar="RUN",
    )
    adapt: bool = option(
        "Re-estimate BatchNorm's statistics on the images of each corruption, without labels.",
        False,
    )
    data: Path | None = option("New location of the catalogue, if it has moved.")


@dataclass(frozen=True)
class ReportOptions(Figures, MovedData):
    """Where a run's page goes."""

    output: Path | None = option(
        "File to write. Default: RUN/report.html.", flags=("-o", "--output")
    )


@dataclass(frozen=True)
class CompareOptions:
    """Where a comparison goes."""

    output: Path | None = option(
        "Write a page (.html), or a table (.csv, .parquet) with one row per run and metric.",
        flags=("-o", "--output"),
    )


@dataclass(frozen=True)
class PredictOptions(PredictionOptions, Device):
    """How images are predicted, and where predictions go."""

    output: str | None = option(
        "Write a table instead of printing: .csv, .parquet, .fits, .vot, .ecsv, .h5, .arrow; an "
        "existing file is replaced. A folder, or a name that ends in /, is filled with Parquet "
        "files, for catalogues of any size.",
        flags=("-o", "--output"),
    )
    format: str | None = option(
        "Write a submission to Kaggle's challenge (GalaxyID and 37 answers) into -o FILE.csv, for"
        " a model with --target tree. After an interruption, repeat the command.",
        choices=("kaggle",),
    )
    partition: int | None = option(
        "With -o FOLDER/: rows per file.  [default: 4096]", limits=(1, 1_000_000), metavar="N"
    )
    keep: str | None = option(
        "Columns of the table to copy, such as ra,dec, or all.", metavar="COLUMN[,COLUMN...]"
    )
    hats: Path | None = option(
        "With -o FOLDER/: folder of a HATS catalogue of the predictions, for LSDB; the table needs "
        "coordinates, found by UCD or name.",
        metavar="DIR",
    )
    scheduler: str | None = option(
        "With -o FOLDER/: address of a Dask scheduler whose workers predict, such as "
        "tcp://10.0.0.1:8786.",
        metavar="ADDRESS",
    )

    @property
    def kept(self) -> list[str]:
        """The columns to copy."""
        return [column.strip() for column in (self.keep or "").split(",") if column.strip()]

    @property
    def is_folder(self) -> bool:
        """Whether predictions fill a folder: by its last letter, or because it is one."""
        if self.output is None:
            return False
        return str(self.output).endswith(("/", "\\")) or Path(self.output).is_dir()

    @property
    def path(self) -> Path | None:
        """The file, None without."""
        return Path(self.output) if self.output else None


@dataclass(frozen=True)
class TriageOptions(TableColumns, Rendered, Device):
    """Which galaxies are chosen for volunteers."""

    number: int = option("Number of galaxies to select.", 100, limits=(1, None))
    source: str = option(
        "Source of uncertainty: a single prediction, eight views, passes with dropout, or the "
        "models of a run that was fitted with --members.",
        "views",
        choices=NamesIn("galaxymorph.predict.uncertainty_sources", "UNCERTAINTY_SOURCES"),
    )
    skip_bad: bool = option("Report unusable images and continue without them.", False)


@dataclass(frozen=True)
class Listed(MovedData, Figures):
    """The options of what lists galaxies of a folder of predictions."""

    output: Path | None = option(
        "Write the table instead of printing: .csv, .parquet, .fits, .vot, .ecsv, .h5, .arrow; an "
        "existing file is replaced.",
        flags=("-o", "--output"),
    )
    sheet: Path | None = option("Draw a contact sheet of the images into this .png file, too.")


@dataclass(frozen=True)
class SimilarOptions(Listed, Rendered, Device):
    """What a catalogue's galaxies are compared with, and where the result goes."""

    galaxy: str | None = option("Id of a galaxy of the catalogue.", metavar="ID")
    image: Path | None = option("Image file of any galaxy.", metavar="FILE")
    k: int = option("Number of similar galaxies.", 10, limits=(1, 10_000), flags=("-k",))
    model: Path | None = option("With --image: new location of the model, if it has moved.")


@dataclass(frozen=True)
class AnomaliesOptions(Listed):
    """Which galaxies are listed, and how they are ranked."""

    number: int = option(
        "Number of galaxies to list.", 100, limits=(1, None), flags=("-n", "--number")
    )
    detector: str = option(
        "Score by which galaxies are ranked: the distance from the tenth-nearest galaxy, or that "
        "of Mahalanobis from all.",
        "neighbours",
        choices=NamesIn("galaxymorph.predict.anomalies", "DETECTORS"),
    )


@dataclass(frozen=True)
class ExportOptions(MovedData):
    """The file that a run becomes."""

    output: Path | None = option(
        "File to write. Default: model.onnx or model.safetensors in the working folder; for "
        "onnx-int8, model.int8.onnx in RUN.",
        flags=("-o", "--output"),
    )
    half: bool = option("Weights of a safetensors file in half precision, of half its size.", False)


@dataclass(frozen=True)
class ServeOptions(Rendered, Device):
    """Where a model is served."""

    host: str = option(
        "Address to listen on. Any other than the default lets other machines connect.", "127.0.0.1"
    )
    port: int = option("Port to listen on; 0 for any free port.", 8000, limits=(0, 65535))
    similar: Path | None = option(
        "Folder of this model's predictions with embeddings, in which POST /similar searches.",
        metavar="FOLDER",
    )


def parse_redshift(text: str) -> tuple[float, float]:
    """Return a range of redshifts, of `0.3`, `0.1-0.5` or `0.1,0.5`.

    Raises:
        BadInput: it is none.
    """
    low, _, high = text.replace(",", "-", 1).partition("-")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise BadInput(
            f"{setting('redshift')} {text!r} is no number", "write 0.3 or 0.1-0.5"
        ) from None


@dataclass(frozen=True)
class SimulateOptions:
    """What is simulated."""

    n: int = option("Galaxies to simulate.", 3000)
    survey: tuple[str, ...] = option(
        "sdss, decals, hsc, euclid or hst. If several are given, each galaxy is observed by one, "
        "drawn at random.  [default: sdss]",
        ("sdss",),
        metavar="NAME[,NAME...]",
    )
    seed: int = option("Seed of all random choices.", 7)
    masks: bool = option("Write masks of arms, bar, bulge, ring and companion.", False)
    fits: bool = option(
        "Write the bands of flux as FITS too, into DIR/flux, a catalogue for --pixels flux.", False
    )
    redshift: tuple[float, float] | None = option(
        "Move the galaxies to this redshift, or to redshifts in this range.",
        metavar="Z|LOW-HIGH",
        parse=parse_redshift,
    )
    workers: int | None = option("Number of processes. Default: one per core.", limits=(1, None))


@dataclass(frozen=True)
class ShowSchemaOptions:
    """Where a tree is drawn."""

    output: Path | None = option(
        "Draw the tree into a .png, .pdf or .svg file, too.", flags=("-o", "--output")
    )


@dataclass(frozen=True)
class GuessOptions:
    """Where a proposed schema goes."""

    output: Path | None = option(
        "JSON file to write. Default: it is printed.", flags=("-o", "--output")
    )


@dataclass(frozen=True)
class ReadingOptions(Rendered):
    """How a catalogue's table and images are read."""

    labels_column: str | None = option(
        "Column of class names, for a table without vote fractions.", metavar="COLUMN"
    )
    schema: str = option(
        "Vote catalogue that defines the columns of the table, or a JSON file of your own: "
        f"{', '.join(SCHEMAS)}.",
        Recipe.schema,
        metavar="NAME|FILE",
    )
    id_column: str | None = option(
        "Column of galaxy ids, which are also the names of the images. Default: that of the "
        "schema, or GalaxyID.",
        metavar="COLUMN",
    )
    image_column: str | None = option(
        "Column with the paths of images. Default: image, image_path, path, file_loc or filename "
        "(with subfolder) if its images are there.",
        metavar="COLUMN",
    )


@dataclass(frozen=True)
class CheckOptions(ReadingOptions):
    """How a catalogue is read and checked."""

    quick: bool = option("Check only that the images exist, without decoding them.", False)


@dataclass(frozen=True)
class ShowOptions(ReadingOptions):
    """What a contact sheet shows."""

    output: Path | None = option(
        "PNG file to write.  [default: sheet.png]", flags=("-o", "--output")
    )
    n: int = option("Galaxies on the sheet.", 48, limits=(1, None))
    columns: int = option("Galaxies per row.", 8, limits=(1, None))
    scheme: str | None = option(
        "Show the classes of this label scheme instead of the most frequent answers.",
        metavar="NAME",
    )
