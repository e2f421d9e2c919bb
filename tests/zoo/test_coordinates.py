"""Columns of coordinates by UCD and by name, and their values in degrees."""

import numpy as np
import pytest

from galaxymorph.zoo.coordinates import NAMES, as_degrees, find_coordinates


@pytest.mark.parametrize(("ra", "dec"), NAMES)
@pytest.mark.parametrize("change", [str, str.upper, str.title])
def test_names_of_coordinates_in_any_case(ra, dec, change):
    columns = ["id", change(dec), "z", change(ra)]
    assert find_coordinates(columns) == (change(ra), change(dec))


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"),
        ("POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"),
        ("pos.eq.ra", "pos.eq.dec"),
    ],
)
def test_ucds_come_before_names(ra, dec):
    ucds = {"alpha": ra, "delta": dec, "ra": "stat.error"}
    assert find_coordinates(["ra", "dec", "alpha", "delta"], ucds) == ("alpha", "delta")


@pytest.mark.parametrize("columns", [["ra"], ["ra", "dej2000"], ["radius", "decision"], []])
def test_without_both_there_are_none(columns):
    assert find_coordinates(columns) is None


@pytest.mark.parametrize(
    ("ra", "dec", "degrees"),
    [
        ("180.5", "-1.25", (180.5, -1.25)),
        (180.5, -1.25, (180.5, -1.25)),
        ("180,5", "-1,25", (180.5, -1.25)),
        ("12:02:00", "-01:15:00", (180.5, -1.25)),
        ("12 02 00.0", "-00 15 00", (180.5, -0.25)),
        ("12h02m00s", "+1d15m00s", (180.5, 1.25)),
        ("180d30m", "-1d15m", (180.5, -1.25)),
        ("1.805e2", "-1.25E0", (180.5, -1.25)),
    ],
)
def test_coordinates_in_degrees(ra, dec, degrees):
    read = as_degrees([ra], [dec])
    assert (read[0][0], read[1][0]) == pytest.approx(degrees)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [("", "1"), ("nan", "1"), ("370", "1"), ("-1", "1"), ("10", "91"), ("M31", "1"), (None, 2.0)],
)
def test_what_is_no_place_of_the_sky_is_nan(ra, dec):
    assert np.isnan(as_degrees([10.0, ra], [1.0, dec])).tolist() == [[False, True]] * 2
