"""Predictions as a HATS catalogue, which LSDB crossmatches with the input."""

import sys

import numpy as np
import pandas as pd
import pytest

import galaxymorph as gm
from galaxymorph.base import BadInput
from tests.conftest import galaxymorph

pytest.importorskip("hats", reason="hats isn't installed")
from galaxymorph.predict.hats import INDEX, write_hats  # noqa: E402


@pytest.fixture
def positions(run) -> pd.DataFrame:
    """Thirty galaxies of ten images, all over the sky."""
    images = sorted(gm.open_run(run).split["image"])[:10] * 3
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "objid": np.arange(30) + 587722981736120347,
            "image": images,
            "ra": rng.uniform(0, 360, 30),
            "dec": np.degrees(np.arcsin(rng.uniform(-1, 1, 30))),
        }
    )


@pytest.fixture
def lsdb(monkeypatch):
    """LSDB, with functions of hats interpreted: to compile them takes longer than all the rest."""
    library = pytest.importorskip("lsdb", reason="lsdb isn't installed")
    for module in [module for name, module in sys.modules.items() if name.startswith("hats.")]:
        for name, function in list(vars(module).items()):
            if hasattr(function, "py_func"):
                monkeypatch.setattr(module, name, function.py_func)
    return library


def test_predictions_are_crossmatched_with_the_input(run, positions, lsdb, tmp_path):
    positions.to_parquet(tmp_path / "catalogue.parquet")
    out, folder = tmp_path / "predictions_hats", f"{tmp_path / 'predictions'}/"
    words = ["--hats", out, "--partition", "8", "--precision", "fp32"]
    assert galaxymorph("predict", run, tmp_path / "catalogue.parquet", "-o", folder, *words) == 0
    catalogue = lsdb.open_catalog(out)
    assert len(catalogue) == 30
    given = lsdb.from_dataframe(positions, ra_column="ra", dec_column="dec")
    matched = given.crossmatch(
        catalogue,
        radius_arcsec=0.1,
        suffixes=("_input", "_predicted"),
        suffix_method="overlapping_columns",
    ).compute()
    assert len(matched) == 30
    assert (matched["objid"].astype(str) == matched["galaxy"].astype(str)).all()
    written = pd.read_parquet(folder).set_index("galaxy")["p_spiral"]
    read = pd.DataFrame(catalogue.compute()).set_index("galaxy")["p_spiral"]
    assert np.allclose(read.loc[written.index].astype(float), written.astype(float))
    # And again, from the folder that is complete.
    assert galaxymorph("predict", run, tmp_path / "catalogue.parquet", "-o", folder, *words) == 0


def test_files_are_split_where_rows_are_many_and_each_row_is_in_one(positions, tmp_path):
    rng = np.random.default_rng(1)
    dense = pd.DataFrame({"ra": rng.uniform(10, 40, 900), "dec": rng.uniform(-20, 20, 900)})
    table = pd.concat([dense, positions[["ra", "dec"]]], ignore_index=True)
    table = table.assign(galaxy=[f"g{at}" for at in range(len(table))])
    table.loc[5, "ra"] = np.nan
    for number, at in enumerate(range(0, len(table), 200)):
        table[at : at + 200].to_parquet(tmp_path / f"{number}.parquet")
    files = sorted(tmp_path.glob("*.parquet"))
    number = write_hats(files, tmp_path / "sky", ("ra", "dec"), {}, rows=200)
    written = sorted((tmp_path / "sky" / "dataset").rglob("Npix=*.parquet"))
    assert len(written) == number > 5
    parts = [pd.read_parquet(path) for path in written]
    assert max(map(len, parts)) <= 200
    assert all(part[INDEX].is_monotonic_increasing for part in parts)
    galaxies = pd.concat(parts)["galaxy"]
    assert sorted(galaxies) == sorted(set(table["galaxy"]) - {"g5"})
    for path, part in zip(written, parts, strict=True):
        order = int(path.parts[-3].removeprefix("Norder="))
        pixel = int(path.stem.removeprefix("Npix="))
        assert (part[INDEX].to_numpy("int64") >> 2 * (29 - order) == pixel).all()
    assert not list((tmp_path / "sky").glob(".*"))


def test_a_table_without_coordinates_is_refused_before_anything_is_predicted(
    run, positions, tmp_path
):
    path = tmp_path / "catalogue.csv"
    positions[["objid", "image"]].to_csv(path, index=False)
    with pytest.raises(BadInput, match="no columns of coordinates .*objid"):
        gm.predict_catalogue(run, path, f"{tmp_path / 'out'}/", hats=tmp_path / "sky")
    assert not (tmp_path / "out").exists()
    positions.to_csv(path, index=False)
    (tmp_path / "sky").mkdir()
    (tmp_path / "sky" / "mine.txt").write_text("x")
    with pytest.raises(BadInput, match="it has other content"):
        gm.predict_catalogue(run, path, f"{tmp_path / 'out'}/", hats=tmp_path / "sky")
    with pytest.raises(BadInput, match="hats=.*: it needs output FOLDER/"):
        gm.predict(run, path, output=tmp_path / "x.csv", hats=tmp_path / "new")
