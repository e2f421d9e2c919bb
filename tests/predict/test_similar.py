"""Similar and anomalous galaxies, by the embeddings of a catalogue."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import galaxymorph as gm
from galaxymorph.judge import unit_vectors
from galaxymorph.predict import anomalies, similar_index
from galaxymorph.predict.embedded_catalogue import open_embedded
from galaxymorph.predict.similar import open_similar
from galaxymorph.predict.vectors import embedding_column
from galaxymorph.report import load_model
from galaxymorph.report.predicted_words import predicted_words
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE
from tests.conftest import galaxymorph
from tests.report.test_server import ask, serving

pytest.importorskip("faiss")


@pytest.fixture(scope="module")
def images(simple):
    return sorted((simple / "images_training_rev1").glob("*.jpg"))[:40]


@pytest.fixture(scope="module")
def predicted(run, images, new_folder):
    """The predictions of forty galaxies and a missing one with embeddings, in five files."""
    folder = new_folder("similar")
    rows = [*map(str, images[:20]), "gone.jpg", *map(str, images[20:])]
    pd.DataFrame({"image": rows, "mag": np.arange(41.0)}).to_csv(folder / "mine.csv", index=False)
    gm.predict_catalogue(
        run, folder / "mine.csv", folder / "out", embeddings=True, partition=9, keep="mag", views=8
    )
    return folder / "out"


@pytest.fixture
def out(predicted, tmp_path):
    shutil.copytree(predicted, tmp_path / "out")
    return tmp_path / "out"


def nearest_by_hand(out: Path, galaxy: str) -> pd.DataFrame:
    """Return the galaxies with an embedding by their distance from one."""
    table = pd.read_parquet(out)
    vectors = np.stack(table["embedding"]).astype(float)
    table, vectors = (
        table[np.isfinite(vectors).all(axis=1)],
        vectors[np.isfinite(vectors).all(axis=1)],
    )
    units = unit_vectors(vectors)
    away = np.linalg.norm(units - units[table["galaxy"].to_numpy() == galaxy], axis=1)
    order = np.argsort(away)[1:]
    return table.iloc[order].assign(away=away[order])


def test_the_nearest_are_those_of_an_exact_search(out, images):
    expected = nearest_by_hand(out, images[3].stem)
    table = gm.similar(out, galaxy=images[3].stem, k=12)
    assert table["galaxy"].tolist() == expected["galaxy"].tolist()[:12]
    np.testing.assert_allclose(table["distance"], expected["away"][:12], atol=2e-3)
    assert table["mag"].tolist() == expected["mag"].tolist()[:12]
    assert table["predicted"].tolist() == expected["predicted"].tolist()[:12]
    assert "embedding" not in table and "gone" not in set(
        gm.similar(out, galaxy=images[0].stem, k=99).galaxy
    )
    assert len(gm.similar(out, galaxy=images[3].stem, k=99)) == 39


def test_an_image_is_nearest_to_itself_however_it_is_turned(out, images, tmp_path):
    for turn in (None, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE):
        image = Image.open(images[5])
        (image if turn is None else image.transpose(turn)).save(tmp_path / "turned.png")
        table = gm.similar(out, image=tmp_path / "turned.png", k=3)
        assert table["galaxy"][0] == images[5].stem
        assert table["distance"][0] < 0.2 * table["distance"][1]
        assert set(table["status"]) == {"ok"}


def test_the_search_of_large_catalogues_gives_nearly_all(out, monkeypatch):
    """Its clusters and components, on four thousand vectors in place of forty."""
    rng, directions = np.random.default_rng(0), None
    for path in sorted(out.glob("part-*")):
        table = parquet.read_table(path)
        table = pa.concat_tables([table] * 100).combine_chunks()
        vectors = vectors_in(table)
        if directions is None:
            directions = 0.05 * rng.normal(size=(6, vectors.shape[1]))
        write_with(path, table, vectors + rng.normal(size=(len(vectors), 6)) @ directions)
    record = json.loads((out / "_catalogue.json").read_text())
    (out / "_catalogue.json").write_text(json.dumps(record | {"images": 4100, "partition": 900}))
    exact = open_similar(out)
    queries = [exact.catalogue.vector(row) for row in (0, 950, 2222, 4000)]
    known = [exact.index.nearest(query, 10)[0] for query in queries]
    monkeypatch.setattr(similar_index, "EXACT", 1000)
    shutil.rmtree(out / similar_index.FOLDER)
    fast = open_similar(out).index
    assert type(fast.search) is not type(exact.index.search)
    results = [fast.nearest(query, 10)[0] for query in queries]
    shares = [len(set(a) & set(b)) / 10 for a, b in zip(known, results, strict=True)]
    assert np.mean(shares) > 0.9


def vectors_in(table: pa.Table) -> np.ndarray:
    return np.stack(table["embedding"].to_pandas()).astype(np.float32)


def write_with(path: Path, table: pa.Table, vectors: np.ndarray) -> None:
    """Write a partition's file with other embeddings."""
    column = embedding_column(vectors.astype(np.float32), {})
    at = table.schema.get_field_index("embedding")
    parquet.write_table(table.set_column(at, "embedding", column), path)


def test_the_index_is_made_once_and_again_when_the_predictions_change(out, images, capsys):
    gm.similar(out, galaxy=images[0].stem)
    index = out / "_similar" / "index.faiss"
    made = index.stat().st_mtime_ns
    before = pd.read_parquet(out)
    assert len(before) == 41
    path = out / "part-000001.parquet"
    # The same content, copied: the time differs, and nothing is made again.
    path.write_bytes(path.read_bytes())
    gm.similar(out, galaxy=images[0].stem)
    assert index.stat().st_mtime_ns == made
    table = parquet.read_table(path)
    write_with(path, table, vectors_in(table)[::-1])
    capsys.readouterr()
    again = gm.similar(out, galaxy=images[0].stem, k=20)
    assert "the predictions have changed" in capsys.readouterr().err
    assert index.stat().st_mtime_ns != made
    expected = nearest_by_hand(out, images[0].stem)["galaxy"].tolist()[:20]
    assert again["galaxy"].tolist() == expected


@pytest.mark.parametrize("name", ["index.faiss", "galaxies.arrow", "record.json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_a_damaged_index_is_named_in_one_line(out, images, capsys, name, damage):
    gm.similar(out, galaxy=images[0].stem)
    path = out / "_similar" / name
    content = bytearray(path.read_bytes())
    if damage == "changed":
        content[len(content) // 2] ^= 0xFF
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    capsys.readouterr()
    assert galaxymorph("similar", out, "--galaxy", images[0].stem) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"_similar/{name}: " in line
    assert line.endswith("and it is made again")
    shutil.rmtree(out / "_similar")
    assert galaxymorph("similar", out, "--galaxy", images[0].stem) == 0


def test_a_galaxy_that_is_unlike_all_has_neighbours_that_tell_nothing(out, images, capsys):
    galaxies = open_similar(out)
    vector = galaxies.catalogue.vector(0)
    assert set(galaxies.of_vector(vector, 5)["status"]) == {"ok"}
    # At a right angle to all, in a space of features that are 0 or more.
    other = galaxies.of_vector(-vector, 5)
    assert set(other["status"]) == {"unfamiliar"}


def test_the_command_writes_a_table_and_a_sheet(out, images, tmp_path, capsys):
    sheet, table = tmp_path / "sheet.png", tmp_path / "similar.csv"
    command = ["similar", out, "--galaxy", images[2].stem, "-k", 7]
    assert galaxymorph(*command, "-o", table, "--sheet", sheet) == 0
    assert capsys.readouterr().out.split() == [str(table), str(sheet)]
    assert len(pd.read_csv(table)) == 7
    assert Image.open(sheet).width > 1000
    assert galaxymorph(*command) == 0
    printed, log = capsys.readouterr()
    assert f"replaced: {table}" not in log
    words = f"warning: {out}: 40 galaxies, fewer than the 100 with which the nearest"
    assert log.splitlines()[-1].startswith(words)
    for row in pd.read_csv(table, dtype={"galaxy": str}).itertuples():
        (line,) = [line for line in printed.splitlines() if line.split()[:1] == [row.galaxy]]
        assert f"{row.predicted} {row.confidence:.2f}" in line


def test_the_images_of_a_folder_that_has_moved_are_drawn(run, images, tmp_path, capsys):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    for image in images[:6]:
        shutil.copy(image, before)
    gm.predict_catalogue(run, before, tmp_path / "out", embeddings=True, views=8)
    before.rename(after)
    sheet = tmp_path / "sheet.png"
    # Tables read with pandas have ids as numbers.
    table = gm.similar(tmp_path / "out", galaxy=int(images[0].stem), k=9, sheet=sheet, data=after)
    notes = capsys.readouterr()
    assert len(table) == 5 and "has 5 galaxies to list, fewer than 9" in notes.out + notes.err
    assert "can't be drawn" not in notes.out + notes.err
    gm.similar(tmp_path / "out", galaxy=images[0].stem, k=5, sheet=sheet)
    assert "6 of 6 images can't be drawn" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{out}"], "it needs either a galaxy or an image"),
        (["{out}", "--galaxy", "1", "--image", "x.jpg"], "it needs either a galaxy or an image"),
        (["{out}", "--galaxy", "nowhere"], "nowhere: {out} has no such galaxy"),
        (["{out}", "--galaxy", "gone"], "gone: {out} has no such galaxy with a usable image"),
        (["{out}", "--image", "gone.jpg"], "gone.jpg: no such file"),
        (["{out}", "--galaxy", "{id}", "--model", "x"], "--model: it is for --image"),
        (["{out}", "--image", "{image}", "--model", "x"], "x: no such model"),
        (["{out}", "--galaxy", "{id}", "-o", "x.doc"], "-o x.doc: ending '.doc'"),
        (
            ["{out}", "--galaxy", "{id}", "--sheet", "x.doc"],
            "--sheet x.doc: a sheet is a .png file; give x.png",
        ),
        (["{out}", "--galaxy", "{id}", "--sheet", "x.pdf"], "give x.png, and --figures pdf for"),
        (["{out}", "--galaxy", "{id}", "--bands", "r"], "--bands: it is for --image"),
        (["{tmp}", "--galaxy", "{id}"], "{tmp}: no _catalogue.json in it"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(
    out, images, tmp_path, capsys, arguments, words
):
    names = {"out": out, "tmp": tmp_path, "id": images[0].stem, "image": images[0]}
    assert galaxymorph("similar", *(word.format(**names) for word in arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words.format(**names) in line


def test_a_folder_without_embeddings_or_with_some_of_them_is_refused(
    run, out, images, tmp_path, capsys
):
    (out / "part-000004.parquet").unlink()
    for command in (["similar", out, "--galaxy", images[0].stem], ["anomalies", out]):
        assert galaxymorph(*command) == 2
        assert f"{out}: 4 of 5 partitions exist" in capsys.readouterr().err
    (tmp_path / "few").mkdir()
    shutil.copy(images[0], tmp_path / "few")
    gm.predict_catalogue(run, tmp_path / "few", tmp_path / "bare")
    for name in ("similar", "anomalies"):
        more = ["--galaxy", images[0].stem] if name == "similar" else []
        assert galaxymorph(name, tmp_path / "bare", *more) == 2
        assert "its predictions have no embeddings" in capsys.readouterr().err


def test_the_server_lists_what_the_command_lists(run, out, images):
    served = load_model(run, similar=out)
    with serving(lambda: served) as url:
        status, body = ask(f"{url}/similar?k=3", images[7].read_bytes())
        answer = json.loads(body)
        expected = gm.similar(out, image=images[7], k=3)
        assert status == 200 and answer["status"] == "ok"
        assert [each["galaxy"] for each in answer["similar"]] == expected["galaxy"].tolist()
        assert answer["similar"][0]["image"].startswith("data:image/jpeg;base64,")
        row = expected.iloc[0]
        words = f"{row['predicted']} {row['confidence']:.2f}"
        assert answer["similar"][0]["prediction"] == [words]
        assert ask(f"{url}/similar?k=0", images[7].read_bytes())[0] == 400
        assert "/similar" in json.loads(ask(f"{url}/openapi.json")[1])["paths"]
    with serving(lambda: load_model(run)) as url:
        status, body = ask(f"{url}/similar", images[7].read_bytes())
        assert status == 404 and "the server with similar" in json.loads(body)["error"]


@pytest.mark.parametrize("is_familiar", [True, False])
def test_the_page_shows_the_similar_galaxies(run, out, images, browser, is_familiar):
    served = load_model(run, similar=out)
    if not is_familiar:
        index = replace(served.catalogue.index, usual=np.zeros(1))
        served = replace(served, catalogue=replace(served.catalogue, index=index))
    expected = gm.similar(out, image=images[7], k=12)
    with serving(lambda: served, lists_similar=True) as url:
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.goto(url)
        page.set_input_files("#file", images[7])
        listed = page.locator("h3", has_text="of the catalogue")
        listed.wait_for()
        assert ("tell nothing" in listed.inner_text()) is not is_familiar
        items = page.locator("h3:has-text('of the catalogue') + ul li")
        assert items.count() == 12
        first = items.first.inner_text()
        assert images[7].stem in first and "distance 0.0" in first
        assert expected["predicted"][0].replace("_", " ") in first
        assert items.first.locator("img").evaluate("image => image.naturalWidth") > 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.close()


@pytest.mark.parametrize("detector", ["neighbours", "mahalanobis"])
def test_what_is_unlike_the_others_is_the_most_anomalous(
    out, images, detector, tmp_path, capsys, monkeypatch
):
    path = out / "part-000002.parquet"
    table = parquet.read_table(path)
    vectors = vectors_in(table)
    vectors[4] = vectors[4][::-1]
    write_with(path, table, vectors)
    sheet = tmp_path / "anomalies.png"
    assert galaxymorph("anomalies", out, "-n", 5, "--detector", detector, "--sheet", sheet) == 0
    assert sheet.exists()
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{out}: 40 galaxies, fewer than the 100 with which an anomaly stands out" in last
    ranked = gm.anomalies(out, number=99, detector=detector)
    assert len(ranked) == 40
    assert ranked["galaxy"][0] == table["galaxy"][4].as_py()
    assert ranked["score"].is_monotonic_decreasing
    assert ranked["rank"].tolist() == list(range(1, 41))
    # Of large catalogues a detector is fitted on a sample, and scores all.
    monkeypatch.setattr(anomalies, "FITTED", 30)
    sampled = gm.anomalies(out, number=99, detector=detector)
    assert set(sampled["galaxy"]) == set(ranked["galaxy"]) and len(sampled) == 40
    rows, known, usable = anomalies._fitted(open_embedded(out))
    assert (len(rows), usable) == (30, 40)
    score = anomalies.DETECTORS[detector].fit(unit_vectors(known))
    every = pd.read_parquet(out).set_index("galaxy")["embedding"].loc[sampled["galaxy"]]
    expected = score(unit_vectors(np.stack(every).astype(np.float32)))
    np.testing.assert_allclose(sampled["score"], expected, rtol=1e-4)


def test_predictions_of_a_tree_are_in_words():
    """The likeliest answers down the tree, with their fractions of all volunteers."""
    tree = GALAXY_ZOO_CHALLENGE
    row = dict.fromkeys(tree.columns, 0.0)
    row |= {"Class1.1": 0.1, "Class1.2": 0.9, "Class2.2": 0.8, "Class3.1": 0.5, "Class4.2": 0.6}
    table = pd.DataFrame([row, dict.fromkeys(tree.columns, np.nan)])
    words, none = predicted_words(table)
    assert words[:2] == ["features or disk 0.90", "edge-on: no 0.80"] and none == []
    other = table.rename(columns={"Class1.1": "mine"})
    assert predicted_words(other) == [[], []]
