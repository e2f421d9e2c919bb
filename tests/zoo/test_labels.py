"""Plain labels become classes, each spelt in one way."""

import pytest

from galaxymorph.base import BadInput
from galaxymorph.zoo import label_catalogue, read_catalogue
from tests.conftest import galaxymorph
from tests.makers import galaxy_ids, galaxy_images


def labelled(folder, labels):
    for name, data in galaxy_images(len(labels)).items():
        (folder / name).write_bytes(data)
    rows = [f"{galaxy},{label}" for galaxy, label in zip(galaxy_ids(9), labels, strict=False)]
    table = folder / "labels.csv"
    table.write_text("\n".join(["GalaxyID,kind", *rows, ""]))
    return table


@pytest.mark.parametrize("other", ["Spiral", "SPIRAL", "spi ral  ", "spi  ral"])
def test_classes_that_differ_in_capitals_or_spaces_alone_are_refused(tmp_path, other, capsys):
    first = "spi ral" if " " in other.strip() else "spiral"
    table = labelled(tmp_path, [first, other, "smooth"])
    if other.strip() == first:
        _, classes = label_catalogue(read_catalogue(table, "kind"), "layer1")
        assert classes == ["smooth", first]
        return
    with pytest.raises(BadInput, match="differ only in capitals or spaces"):
        label_catalogue(read_catalogue(table, "kind"), "layer1")
    assert galaxymorph("data", "check", table, "--labels-column", "kind") == 2
    assert repr(first) in capsys.readouterr().err


def test_a_class_with_the_separator_of_prediction_sets_is_refused(tmp_path):
    table = labelled(tmp_path, ["a|b", "c", "c"])
    with pytest.raises(BadInput, match=r"class 'a\|b' has \| in its name"):
        label_catalogue(read_catalogue(table, "kind"), "layer1")
