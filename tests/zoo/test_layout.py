import zipfile

import pytest

from galaxymorph.base import BadInput, read_bytes
from galaxymorph.zoo import find_layout, has_catalogue, list_image_files, read_catalogue
from tests.makers import (
    FIRST_ID,
    IMAGES,
    LAYOUTS,
    TABLE,
    folder_of_files,
    folder_of_zips,
    folder_with_bare_image_zip,
    galaxy_ids,
    galaxy_images,
    image_bytes,
    in_folder,
    labels_bytes,
    outer_zip_of_deflated_zips,
    outer_zip_of_stored_zips,
    picture,
    table_bytes,
    votes_table,
    write_files,
    write_kaggle_folder,
    zip_bytes,
)

N = 12


@pytest.mark.parametrize("write", LAYOUTS, ids=lambda write: write.__name__)
def test_every_layout_gives_the_same_galaxies_votes_and_images(write, tmp_path):
    catalogue = read_catalogue(write(tmp_path / "data", N))
    expected = votes_table(N)
    assert catalogue.problems == []
    assert catalogue.rows == N
    assert catalogue.unused_images == 0
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(N)
    assert catalogue.table["row"].tolist() == list(range(2, N + 2))
    for column in catalogue.tree.columns:
        assert catalogue.table[column].tolist() == expected[column].tolist()
    pictures = [read_bytes(reference) for reference in catalogue.table["image"]]
    assert pictures == list(galaxy_images(N).values())


@pytest.mark.parametrize("write", [folder_of_files, folder_of_zips, folder_with_bare_image_zip])
def test_training_images_are_preferred_to_any_other_of_the_same_name(write, tmp_path):
    others = galaxy_images(N) | {"777777.jpg": b"other"}
    folder = write(tmp_path / "data", N)
    for place in ("another", "zoomed"):
        write_files(folder, in_folder(dict.fromkeys(others, b"other"), place))
    catalogue = read_catalogue(folder)
    pictures = [read_bytes(reference) for reference in catalogue.table["image"]]
    assert pictures == list(galaxy_images(N).values())
    assert catalogue.unused_images == 0


@pytest.mark.parametrize("where", ["images", IMAGES, "."])
def test_plain_labels_are_read_with_images_from_any_folder_beside_the_table(where, tmp_path):
    folder = write_files(tmp_path / "mine", in_folder(galaxy_images(4), where))
    (folder / "kinds.csv").write_bytes(labels_bytes(4))
    for path in (folder, folder / "kinds.csv"):
        catalogue = read_catalogue(path, labels_column="kind")
        assert catalogue.table["galaxy"].tolist() == galaxy_ids(4)
        assert catalogue.table["label"].tolist() == ["smooth", "disk", "smooth", "disk"]
        assert catalogue.problems == []


def test_plain_labels_are_read_from_a_zip_with_its_images(tmp_path):
    files = {"kinds.csv": labels_bytes(4), **in_folder(galaxy_images(4), "cutouts")}
    path = write_files(tmp_path, {"mine.zip": zip_bytes(files)}) / "mine.zip"
    catalogue = read_catalogue(path, labels_column="kind")
    assert catalogue.table["label"].tolist() == ["smooth", "disk", "smooth", "disk"]
    assert [read_bytes(ref) for ref in catalogue.table["image"]] == [*galaxy_images(4).values()]


def test_rejected_csv_beside_a_table_of_any_name_is_not_taken_for_a_second_table(tmp_path):
    files = {"kinds.csv": labels_bytes(4), "rejected.csv": b"galaxy,where,what\n"}
    folder = write_files(tmp_path / "mine", files | galaxy_images(4))
    assert find_layout(folder).table == str(folder / "kinds.csv")


def test_two_tables_of_unknown_name_are_refused(tmp_path):
    files = {"a.csv": labels_bytes(4), "b.csv": labels_bytes(4)}
    with pytest.raises(BadInput, match=r"mine: 2 tables .*, and none is called"):
        find_layout(write_files(tmp_path / "mine", files | galaxy_images(4)))


def test_the_kaggle_table_is_preferred_to_others_beside_it(kaggle):
    write_files(kaggle, {"all_ones_benchmark.csv": b"GalaxyID\n", "labels.csv": b"GalaxyID\n"})
    assert find_layout(kaggle).table == str(kaggle / TABLE)


def test_images_without_a_row_are_counted_whatever_the_type_of_the_ids(kaggle):
    write_files(kaggle, {f"{IMAGES}/7.jpg": b"", f"{IMAGES}/8.jpg": b""})
    assert read_catalogue(kaggle).unused_images == 2
    table = votes_table(5).astype({"GalaxyID": int})
    table.to_parquet(kaggle / "training_solutions_rev1.parquet", index=False)
    (kaggle / TABLE).unlink()
    assert read_catalogue(kaggle).unused_images == 2


def test_uppercase_endings_and_pngs_are_images(tmp_path):
    images = {f"{FIRST_ID}.JPG": b"1", f"{FIRST_ID + 1}.png": b"2", f"{FIRST_ID + 2}.jpeg": b"3"}
    folder = write_files(tmp_path / "data", {TABLE: table_bytes(3), **in_folder(images)})
    assert list(find_layout(folder).images) == galaxy_ids(3)


def test_the_shadow_files_of_macos_are_no_images(kaggle):
    shadows = {f"__MACOSX/{IMAGES}/._{name}": b"shadow" for name in galaxy_images(5)}
    images = in_folder(galaxy_images(5)) | shadows
    folder = write_files(
        kaggle.parent / "mac", {TABLE: table_bytes(5), f"{IMAGES}.zip": zip_bytes(images)}
    )
    catalogue = read_catalogue(folder)
    assert len(catalogue.table) == 5
    assert catalogue.unused_images == 0


def test_the_table_of_a_zip_from_macos_is_not_its_shadow(kaggle):
    members = {f"__MACOSX/._{TABLE}": b"shadow", TABLE: table_bytes(5)}
    (kaggle / "training_solutions_rev1.zip").write_bytes(zip_bytes(members))
    (kaggle / TABLE).unlink()
    assert len(read_catalogue(kaggle).table) == 5


def test_a_stored_inner_zip_is_read_in_place_and_a_deflated_one_unpacked_once(tmp_path, cache):
    find_layout(outer_zip_of_stored_zips(tmp_path / "stored", N))
    assert not cache.exists()
    catalogue = read_catalogue(outer_zip_of_deflated_zips(tmp_path / "deflated", N))
    # Training images and the table; neither the test images nor a benchmark.
    assert len(list(cache.rglob("*.zip"))) == 2
    assert [path for path in cache.rglob("*") if ".tmp" in path.name] == []
    assert len(catalogue.table) == N


@pytest.mark.parametrize(
    "member",
    ["../evil.jpg", "../../evil.jpg", "/evil.jpg", "..\\evil.jpg", f"{IMAGES}/../../evil.jpg"],
)
def test_a_member_that_leads_out_is_a_problem_and_never_an_image(member, kaggle, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    images = in_folder(galaxy_images(5)) | {member: image_bytes(picture())}
    archive = kaggle / f"{IMAGES}.zip"
    archive.write_bytes(zip_bytes(images))
    catalogue = read_catalogue(kaggle)
    (problem,) = catalogue.problems
    assert str(problem).startswith(f"{archive}::{member}: the name leads outside the folder")
    assert not catalogue.table["image"].str.contains("evil").any()
    assert sorted(tmp_path.rglob("*")) == sorted([*before, archive])


def test_an_image_whose_only_copy_leads_out_is_missing(tmp_path):
    images = in_folder(galaxy_images(2)) | {f"../{FIRST_ID + 2}.jpg": image_bytes(picture())}
    folder = write_files(
        tmp_path / "data", {TABLE: table_bytes(3), f"{IMAGES}.zip": zip_bytes(images)}
    )
    catalogue = read_catalogue(folder)
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(2)
    assert f"no image {FIRST_ID + 2}.jpg" in [problem.what for problem in catalogue.problems]


def test_an_inner_zip_whose_name_leads_out_is_not_opened(tmp_path, cache):
    evil = zip_bytes({f"{FIRST_ID + 2}.jpg": image_bytes(picture())})
    members = {TABLE: table_bytes(3), **in_folder(galaxy_images(2)), f"../{IMAGES}.zip": evil}
    path = write_files(tmp_path, {"mine.zip": zip_bytes(members, zipfile.ZIP_DEFLATED)})
    catalogue = read_catalogue(path / "mine.zip")
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(2)
    assert any(f"::../{IMAGES}.zip: the name leads outside" in str(p) for p in catalogue.problems)
    assert not cache.exists()


def test_a_table_whose_name_leads_out_is_not_read(tmp_path):
    members = {f"../{TABLE}": table_bytes(3), **in_folder(galaxy_images(3))}
    path = write_files(tmp_path, {"mine.zip": zip_bytes(members)}) / "mine.zip"
    with pytest.raises(BadInput, match=r"mine\.zip: no table of galaxies"):
        read_catalogue(path)


def test_zips_in_zips_are_followed(tmp_path):
    inside = zip_bytes({f"{IMAGES}.zip": zip_bytes({"deep.jpg": image_bytes(picture())})})
    files = {TABLE: table_bytes(1), **galaxy_images(1), f"{IMAGES}.zip": inside}
    path = write_files(tmp_path, {"mine.zip": zip_bytes(files)}) / "mine.zip"
    assert "deep" in find_layout(path).images


def test_has_catalogue_tells_folders_with_a_table_from_others(tmp_path):
    assert has_catalogue(write_kaggle_folder(tmp_path / "kaggle", 1))
    assert has_catalogue(outer_zip_of_stored_zips(tmp_path / "zipped", 1).parent)
    assert not has_catalogue(write_files(tmp_path / "docs", {"README.md": b"put data here"}))
    assert not has_catalogue(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["images", "images.zip"])
def test_images_are_listed_of_a_folder_or_a_zip(name, tmp_path):
    images = galaxy_images(3)
    if name.endswith(".zip"):
        write_files(tmp_path, {name: zip_bytes(images | {"notes.txt": b""})})
    else:
        write_files(tmp_path / name, images | {"notes.txt": b""})
    result = list_image_files(tmp_path / name).images
    assert [read_bytes(file.reference) for file in result] == list(images.values())


def test_images_of_one_name_in_two_folders_are_all_listed(tmp_path):
    write_files(tmp_path, {"a/1.jpg": b"", "b/1.jpg": b"", "1.png": b""})
    assert len(list_image_files(tmp_path).images) == 3


def test_two_images_of_one_galaxy_are_a_problem(tmp_path):
    folder = write_kaggle_folder(tmp_path, 3)
    png = folder / IMAGES / f"{FIRST_ID}.png"
    png.write_bytes(image_bytes(picture(7), "PNG"))
    catalogue = read_catalogue(folder)
    (problem,) = catalogue.problems
    assert str(problem).startswith(f"{png}: galaxy {FIRST_ID} has another image: ")
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(3)[1:]


def test_the_same_images_as_a_folder_and_as_a_zip_are_no_problem(tmp_path):
    folder = write_kaggle_folder(tmp_path, 3)
    write_files(folder, {f"{IMAGES}.zip": zip_bytes(in_folder(galaxy_images(3)))})
    catalogue = read_catalogue(folder)
    assert not catalogue.problems
    assert len(catalogue.table) == 3


def test_a_folder_without_the_one_table_says_what_it_holds(tmp_path):
    two = write_files(tmp_path / "two", {"a.csv": b"", "b.csv": b"", "1.jpg": b""})
    with pytest.raises(BadInput, match=r"two: 2 tables \(a.csv, b.csv\), and none is called"):
        find_layout(two)
    deep = write_kaggle_folder(tmp_path / "deep" / "galaxies", 1).parent
    with pytest.raises(
        BadInput, match=rf"no table of galaxies, only one in a subfolder .galaxies/{TABLE}"
    ):
        find_layout(deep)


def test_listing_images_of_a_path_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere: no such file or folder; check the path"):
        list_image_files(tmp_path / "nowhere")
