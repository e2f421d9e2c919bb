"""Tables in every format, in and out: the user's columns with units, descriptions and UCDs."""

import shutil
import subprocess
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

import galaxymorph as gm
from galaxymorph.base import BadInput
from galaxymorph.zoo import open_table
from galaxymorph.zoo.column_meta import ColumnMeta
from galaxymorph.zoo.table_writing import WRITERS, write_table_file
from tests.conftest import galaxymorph

META = {
    "ra": ColumnMeta("deg", "right ascension", "pos.eq.ra;meta.main"),
    "dec": ColumnMeta("deg", "declination", "pos.eq.dec;meta.main"),
    "mag": ColumnMeta("mag", "r magnitude", "phot.mag;em.opt.R"),
}
ENDINGS = tuple(WRITERS)
DESCRIBED = [ending for ending in ENDINGS if ending not in (".csv", ".tsv")]


@pytest.fixture
def frame(run) -> pd.DataFrame:
    """The catalogue of six images, one of which isn't there, with ids of eighteen digits."""
    images = sorted(gm.open_run(run).split["image"])[:5]
    return pd.DataFrame(
        {
            "objid": np.arange(6) + 587722981736120347,
            "image": [*images, "nowhere.jpg"],
            "ra": np.linspace(10, 350, 6),
            "dec": np.linspace(-60, 60, 6),
            "mag": np.array([17.5, np.nan, 16, 15, 14, 13], "float32"),
            "n": pd.array([1, 2, None, 4, 5, 6], "Int64"),
            "name": ["a", "b", None, "d e", "", "f"],
        }
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_table_survives_in_every_format(frame, ending, tmp_path):
    path = tmp_path / f"t{ending}"
    write_table_file(path, frame, META)
    opened = open_table(path)
    assert opened.columns == list(frame.columns)
    (piece,) = list(opened.pieces(opened.columns))
    read = piece.frame
    assert [str(value) for value in read["objid"]] == [str(value) for value in frame["objid"]]
    assert np.allclose(read["ra"].astype(float), frame["ra"])
    assert ["" if pd.isna(value) else value for value in read["name"]] == [
        "a",
        "b",
        "",
        "d e",
        "",
        "f",
    ]
    assert pd.isna(read["n"].iloc[2]) or read["n"].iloc[2] == ""
    assert [int(float(value)) for value in read["n"].drop(read.index[2])] == [1, 2, 4, 5, 6]
    assert opened.coordinates == ("ra", "dec")
    if ending in DESCRIBED:
        assert {name: opened.meta_of(name) for name in META} == META
        assert opened.meta_of("name") == ColumnMeta()


@pytest.mark.parametrize(
    "ending", [each for each in DESCRIBED if each not in (".arrow", ".feather")]
)
def test_astropy_shows_units_and_descriptions(frame, ending, tmp_path):
    path = tmp_path / f"t{ending}"
    write_table_file(path, frame, META)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(path, **({"path": "table"} if ending in (".h5", ".hdf5") else {}))
    assert str(table["ra"].unit) == "deg"
    assert table["mag"].description == "r magnitude"
    if ending != ".fits":
        assert table["dec"].meta["ucd"] == META["dec"].ucd


@pytest.mark.parametrize("ending", [".fits", ".vot", ".csv"])
def test_topcats_reader_reads_the_output(frame, ending, tmp_path):
    if shutil.which("stilts") is None:
        pytest.skip("stilts isn't installed")
    path = tmp_path / f"t{ending}"
    write_table_file(path, frame, META)
    kind = {".vot": "votable"}.get(ending, ending[1:])
    meta = ["stilts", "tpipe", f"in={path}", f"ifmt={kind}", "ofmt=csv"]
    done = subprocess.run(
        [*meta, "cmd=meta name units ucd description"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = {line.partition(",")[0]: line for line in done.stdout.splitlines()}
    assert lines.keys() >= set(frame.columns)
    if ending != ".csv":
        assert lines["ra"] == "ra,deg,pos.eq.ra;meta.main,right ascension"
    values = subprocess.run([*meta, "cmd=keepcols 'objid dec n'"], capture_output=True, text=True)
    assert values.stdout.splitlines()[1] == "587722981736120347,-60.0,1"
    assert values.stdout.splitlines()[3].endswith(",")


@pytest.mark.parametrize(
    ("into", "out"),
    [
        (".fits", ".vot"),
        (".vot", ".fits"),
        (".ecsv", ".h5"),
        (".h5", ".parquet"),
        (".arrow", ".ecsv"),
    ],
)
def test_predictions_of_a_table_keep_its_columns_and_what_is_said_of_them(
    run, frame, into, out, tmp_path
):
    catalogue, output = tmp_path / f"catalogue{into}", tmp_path / f"predictions{out}"
    write_table_file(catalogue, frame, META)
    words = ["--keep", "ra,dec,mag", "--precision", "fp32"]
    assert galaxymorph("predict", run, catalogue, "-o", output, *words) == 0
    opened = open_table(output)
    (piece,) = list(opened.pieces(opened.columns))
    read = piece.frame
    assert [str(galaxy) for galaxy in read["galaxy"]] == [str(each) for each in frame["objid"]]
    assert {name: opened.meta_of(name) for name in META} == META
    assert opened.meta_of("confidence").ucd == "stat.probability"
    assert "class elliptical" in opened.meta_of("p_elliptical").description
    assert np.allclose(read["ra"].astype(float), frame["ra"])
    probabilities = read[["p_elliptical", "p_spiral", "p_irregular"]].astype(float)
    assert np.allclose(probabilities[:5].sum(axis=1), 1, atol=1e-5)
    assert probabilities.iloc[5].isna().all()
    assert list(read["status"])[-1] == "missing"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_output_that_cannot_be_is_refused_before_anything_is_predicted(run, frame, tmp_path):
    catalogue = tmp_path / "catalogue.csv"
    frame.to_csv(catalogue, index=False)
    with pytest.raises(BadInput, match=r"ending '\.xlsx'; use \.csv"):
        gm.predict(run, catalogue, output=tmp_path / "x.xlsx")
    with pytest.raises(BadInput, match="^keep='rra': .* no such column; did you mean 'ra'"):
        gm.predict(run, catalogue, output=tmp_path / "x.fits", keep="rra")
    with pytest.raises(BadInput, match="^keep='ra': it needs a catalogue's output"):
        gm.predict(run, frame["image"][0], output=tmp_path / "x.fits", keep="ra")


def test_hdf5_of_arrays_is_a_table_and_one_of_pandas_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as stored:
        stored["data/id_str"] = [b"a", b"b", b"c"]
        stored["data/file_loc"] = ["x.jpg", "y.jpg", "z.jpg"]
        stored["data/z"] = np.array([1.5, 2.5, 3.5], ">f4")
        stored["pictures"] = np.zeros((3, 4, 4))
    table = open_table(tmp_path / "a.h5")
    assert sorted(table.columns) == ["file_loc", "id_str", "z"]
    (piece,) = list(table.pieces(["id_str", "z"]))
    assert piece.frame["id_str"].tolist() == ["a", "b", "c"]
    assert piece.frame["z"].tolist() == [1.5, 2.5, 3.5]
    with h5py.File(tmp_path / "p.h5", "w") as stored:
        stored["t/axis0"] = [b"a"]
        stored["t/block0_values"] = np.zeros((3, 1))
    with pytest.raises(BadInput, match="pandas wrote it in blocks of columns: save the table as"):
        open_table(tmp_path / "p.h5")
    with h5py.File(tmp_path / "n.h5", "w") as stored:
        stored["pictures"] = np.zeros((3, 4, 4))
    with pytest.raises(BadInput, match="no table in this HDF5 file"):
        open_table(tmp_path / "n.h5")


def test_coordinates_are_found_by_ucd_first(tmp_path):
    columns = [
        fits.Column("RA", "D", array=[1.0]),
        fits.Column("DEC", "D", array=[2.0]),
        fits.Column("alpha", "D", array=[3.0]),
        fits.Column("delta", "D", array=[4.0]),
    ]
    unit = fits.BinTableHDU.from_columns(columns)
    unit.header["TUCD3"], unit.header["TUCD4"] = "pos.eq.ra;meta.main", "pos.eq.dec;meta.main"
    fits.HDUList([fits.PrimaryHDU(), unit]).writeto(tmp_path / "t.fits")
    assert open_table(tmp_path / "t.fits").coordinates == ("alpha", "delta")
