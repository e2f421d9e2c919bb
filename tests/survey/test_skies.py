"""The simulated galaxies that a fit without data uses."""

from galaxymorph.survey import embedded_sky


def test_the_number_that_is_asked_for_is_used(tmp_path):
    first = embedded_sky(tmp_path / "sky", 2)
    assert first == tmp_path / "sky"
    before = (first / "truth.parquet").read_bytes()
    assert embedded_sky(first) == embedded_sky(first, 2) == first
    other = embedded_sky(first, 1)
    assert other == tmp_path / "sky-1" == embedded_sky(first, 1)
    assert len(list((other / "images_training_rev1").iterdir())) == 1
    assert (first / "truth.parquet").read_bytes() == before
