"""Small catalogues in every layout, sound or with one thing wrong."""

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, to_cumulative

FIRST_ID = 100001
TABLE = "training_solutions_rev1.csv"
# Schemas for tests of arithmetic that takes long: the trees that are published, and a union.
PUBLISHED = ("galaxy-zoo-2", "galaxy-zoo-challenge", "galaxy-zoo-decals")
SEVERAL = (*PUBLISHED, "decals_all_campaigns")
IMAGES = "images_training_rev1"
OUTER_ZIP = "galaxy-zoo-the-galaxy-challenge.zip"


def galaxy_ids(n: int) -> list[str]:
    return [str(FIRST_ID + k) for k in range(n)]


def votes_table(n: int, seed: int = 0) -> pd.DataFrame:
    """Votes that obey the tree, drawn from Dirichlet distributions, with the Kaggle columns."""
    tree, rng = GALAXY_ZOO_CHALLENGE, np.random.default_rng(seed)
    conditional = np.zeros((n, len(tree.columns)))
    for members in tree.membership.astype(bool):
        conditional[:, members] = rng.dirichlet(np.ones(members.sum()), n)
    table = pd.DataFrame(to_cumulative(tree, conditional).round(6), columns=tree.columns)
    table.insert(0, "GalaxyID", galaxy_ids(n))
    return table


def table_bytes(n: int, seed: int = 0) -> bytes:
    return votes_table(n, seed).to_csv(index=False).encode()


def labels_bytes(n: int, column: str = "kind") -> bytes:
    rows = [f"{galaxy},{'disk' if k % 2 else 'smooth'}" for k, galaxy in enumerate(galaxy_ids(n))]
    return "\n".join([f"GalaxyID,{column}", *rows, ""]).encode()


def image_bytes(image: Image.Image, kind: str = "JPEG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def picture(seed: int = 0, size: tuple[int, int] = (16, 12)) -> Image.Image:
    """Noise: an image whose bytes, cut anywhere, are damaged."""
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def galaxy_images(n: int) -> dict[str, bytes]:
    return {f"{galaxy}.jpg": image_bytes(picture(k)) for k, galaxy in enumerate(galaxy_ids(n))}


def zip_bytes(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def write_files(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def in_folder(files: dict[str, bytes], folder: str = IMAGES) -> dict[str, bytes]:
    return {f"{folder}/{name}": data for name, data in files.items()}


def write_kaggle_folder(folder: Path, n: int) -> Path:
    return write_files(folder, {TABLE: table_bytes(n), **in_folder(galaxy_images(n))})


def change_table(folder: Path, change: Callable[[list[str]], object]) -> Path:
    """Let `change` alter the list of the table's lines, the header being the first."""
    table = folder / TABLE
    lines = table.read_text().splitlines()
    change(lines)
    table.write_text("\n".join([*lines, ""]))
    return table


def change_cell(folder: Path, row: int, column: str, value: str) -> Path:
    def change(lines: list[str]) -> None:
        cells = lines[row - 1].split(",")
        cells[lines[0].split(",").index(column)] = value
        lines[row - 1] = ",".join(cells)

    return change_table(folder, change)


def images_of_the_test_set() -> dict[str, bytes]:
    """One under a training galaxy's name and one under its own: either shows if it is mixed in."""
    return {f"{FIRST_ID}.jpg": image_bytes(picture(999)), "999999.jpg": image_bytes(picture(998))}


def challenge_files(n: int, compression: int) -> dict[str, bytes]:
    """What Kaggle's download holds: zips of training, of test and of benchmarks."""
    benchmark = f"GalaxyID,{','.join(GALAXY_ZOO_CHALLENGE.columns)}\n".encode()

    def zipped(members: dict[str, bytes]) -> bytes:
        return zip_bytes(members, compression)

    return {
        "all_ones_benchmark.zip": zipped({"all_ones_benchmark.csv": benchmark}),
        "all_zeros_benchmark.zip": zipped({"all_zeros_benchmark.csv": benchmark}),
        "central_pixel_benchmark.zip": zipped({"central_pixel_benchmark.csv": benchmark}),
        "images_test_rev1.zip": zipped(in_folder(images_of_the_test_set(), "images_test_rev1")),
        "images_training_rev1.zip": zipped(in_folder(galaxy_images(n))),
        "training_solutions_rev1.zip": zipped({TABLE: table_bytes(n)}),
    }


def folder_of_files(folder: Path, n: int) -> Path:
    return write_kaggle_folder(folder, n)


def folder_of_files_and_gz(folder: Path, n: int) -> Path:
    table = {f"{TABLE}.gz": gzip.compress(table_bytes(n))}
    return write_files(folder, table | in_folder(galaxy_images(n)))


def folder_of_files_and_zipped_table(folder: Path, n: int) -> Path:
    table = {"training_solutions_rev1.zip": zip_bytes({TABLE: table_bytes(n)})}
    return write_files(folder, table | in_folder(galaxy_images(n)))


def folder_of_files_and_csv_zip(folder: Path, n: int) -> Path:
    table = {f"{TABLE}.zip": zip_bytes({TABLE: table_bytes(n)}, zipfile.ZIP_DEFLATED)}
    return write_files(folder, table | in_folder(galaxy_images(n)))


def folder_of_files_and_parquet(folder: Path, n: int) -> Path:
    write_files(folder, in_folder(galaxy_images(n)))
    table = votes_table(n).astype({"GalaxyID": int})
    table.to_parquet(folder / "training_solutions_rev1.parquet", index=False)
    return folder


def folder_of_zips(folder: Path, n: int) -> Path:
    return write_files(folder, challenge_files(n, zipfile.ZIP_DEFLATED))


def folder_with_bare_image_zip(folder: Path, n: int) -> Path:
    images = {f"{IMAGES}.zip": zip_bytes(galaxy_images(n), zipfile.ZIP_DEFLATED)}
    return write_files(folder, {TABLE: table_bytes(n)} | images)


def folder_with_test_images_too(folder: Path, n: int) -> Path:
    test = in_folder(images_of_the_test_set(), "images_test_rev1")
    return write_files(write_kaggle_folder(folder, n), test)


def outer_zip_of_stored_zips(folder: Path, n: int) -> Path:
    outer = zip_bytes(challenge_files(n, zipfile.ZIP_DEFLATED))
    return write_files(folder, {OUTER_ZIP: outer}) / OUTER_ZIP


def outer_zip_of_deflated_zips(folder: Path, n: int) -> Path:
    outer = zip_bytes(challenge_files(n, zipfile.ZIP_STORED), zipfile.ZIP_DEFLATED)
    return write_files(folder, {OUTER_ZIP: outer}) / OUTER_ZIP


def folder_with_outer_zip_of_stored_zips(folder: Path, n: int) -> Path:
    return outer_zip_of_stored_zips(folder, n).parent


def folder_with_outer_zip_of_deflated_zips(folder: Path, n: int) -> Path:
    return outer_zip_of_deflated_zips(folder, n).parent


def zip_of_a_kaggle_folder(folder: Path, n: int) -> Path:
    files = {TABLE: table_bytes(n), **in_folder(galaxy_images(n))}
    return write_files(folder, {"mine.zip": zip_bytes(in_folder(files, "mine"))}) / "mine.zip"


def path_of_the_table(folder: Path, n: int) -> Path:
    return write_kaggle_folder(folder, n) / TABLE


def path_of_the_zipped_table(folder: Path, n: int) -> Path:
    return folder_of_zips(folder, n) / "training_solutions_rev1.zip"


LAYOUTS = [
    folder_of_files,
    folder_of_files_and_gz,
    folder_of_files_and_zipped_table,
    folder_of_files_and_csv_zip,
    folder_of_files_and_parquet,
    folder_of_zips,
    folder_with_bare_image_zip,
    folder_with_test_images_too,
    outer_zip_of_stored_zips,
    outer_zip_of_deflated_zips,
    folder_with_outer_zip_of_stored_zips,
    folder_with_outer_zip_of_deflated_zips,
    zip_of_a_kaggle_folder,
    path_of_the_table,
    path_of_the_zipped_table,
]
