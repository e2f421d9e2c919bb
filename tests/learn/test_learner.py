"""Everything of fastai's on the learner of a recipe, fast pipeline."""

import matplotlib

matplotlib.use("Agg")

import numpy as np
import pytest
from fastai.callback.core import Callback
from fastai.callback.tracker import EarlyStoppingCallback, SaveModelCallback
from fastai.interpret import ClassificationInterpretation
from fastai.learner import load_learner
from matplotlib import pyplot as plt

import galaxymorph
from galaxymorph.learn import galaxy_dataloaders, galaxy_learner
from tests.conftest import RECIPE

CLASSES = ["elliptical", "spiral", "irregular"]


@pytest.fixture(scope="module")
def dls(simple):
    return galaxy_dataloaders(simple, str(RECIPE), size=32, batch=16)


@pytest.fixture(scope="module")
def learn(dls, new_folder):
    learn = galaxy_learner(dls, path=new_folder("learner"))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(2, 1e-2)
        learn.history = learn.recorder.values
        yield learn


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_it_is_the_packages_front_door():
    assert galaxymorph.galaxy_learner is galaxy_learner
    assert galaxymorph.galaxy_dataloaders is galaxy_dataloaders


def test_the_loaders_read_decoded_frames_in_parts_of_the_recipes_split(dls):
    assert dls.train.source is not None
    assert list(dls.vocab) == CLASSES == dls.classes
    assert len(dls.valid_ds) == (dls.split["split"] == "valid").sum()
    images, codes = dls.one_batch()
    assert images.shape[1:] == (3, 32, 32)
    assert set(codes.tolist()) <= {0, 1, 2}


def test_batches_and_results_are_shown(dls, learn):
    dls.show_batch(max_n=4)
    assert len(plt.gcf().axes) == 4
    learn.show_results(max_n=4)
    assert len(plt.gcf().axes) == 4


def test_fit_one_cycle_records_loss_and_metrics(learn):
    assert learn.recorder.metric_names[3:5] == ["accuracy", "f1_score"]
    assert len(learn.history) == 2
    assert np.isfinite(np.array(learn.history, float)).all()


def test_lr_find_suggests_a_rate_and_leaves_the_weights(dls, learn):
    before = {name: value.clone() for name, value in learn.model.state_dict().items()}
    # A learner of its own: the search replaces the recorder's values.
    other = galaxy_learner(dls, path=learn.path)
    with other.no_bar(), other.no_logging():
        suggestion = other.lr_find(num_it=8, show_plot=False)
    assert 1e-8 < suggestion.valley < 10
    assert all((before[name] == value).all() for name, value in learn.model.state_dict().items())


def test_predictions_are_probabilities_in_the_order_of_the_split(dls, learn):
    probabilities, codes = learn.get_preds()
    valid = dls.split[dls.split["split"] == "valid"]
    assert [CLASSES[code] for code in codes] == valid["label"].tolist()
    assert np.allclose(probabilities.sum(dim=1), 1, atol=1e-5)
    loss, accuracy, _ = learn.validate()
    right = (probabilities.argmax(dim=1) == codes).float().mean()
    assert accuracy == pytest.approx(float(right), abs=1e-6)
    averaged, _ = learn.tta(n=2)
    assert averaged.shape == probabilities.shape


def test_predict_takes_a_file_and_a_test_loader_many(dls, learn):
    images = dls.split["image"].head(3).tolist()
    decoded, code, probabilities = learn.predict(images[0])
    assert decoded == CLASSES[int(code)] == CLASSES[int(probabilities.argmax())]
    many, _ = learn.get_preds(dl=dls.test_dl(images))
    assert np.allclose(many[0], probabilities, atol=1e-5)


def test_classification_interpretation_does_all_it_does(learn, capsys):
    interpretation = ClassificationInterpretation.from_learner(learn)
    losses, _ = interpretation.top_losses(3)
    assert (losses.diff() <= 0).all()
    interpretation.plot_top_losses(3)
    assert len(plt.gcf().axes) == 3
    interpretation.plot_confusion_matrix()
    matrix = interpretation.confusion_matrix()
    assert matrix.sum() == len(learn.dls.valid_ds)
    mistakes = matrix.sum() - np.trace(matrix)
    assert sum(number for *_, number in interpretation.most_confused()) == mistakes
    interpretation.print_classification_report()
    assert "elliptical" in capsys.readouterr().out


def test_callbacks_of_ones_own_and_fastais_run_beside_the_recipes(dls, tmp_path):
    class CountBatches(Callback):
        number = 0

        def after_batch(self) -> None:
            self.number += self.training

    count = CountBatches()
    learn = galaxy_learner(dls, cbs=[count], path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        stops = EarlyStoppingCallback(monitor="valid_loss", min_delta=1e9, patience=1)
        learn.fit_one_cycle(4, 1e-3, cbs=[SaveModelCallback(monitor="f1_score"), stops])
    assert count.number == 2 * len(dls.train)
    assert (tmp_path / "models" / "model.pth").exists()


def test_an_exported_learner_predicts_alike(dls, learn, tmp_path):
    image = dls.split["image"].iloc[0]
    learn.export(tmp_path / "learner.pkl")
    other = load_learner(tmp_path / "learner.pkl")
    with other.no_bar():
        assert np.allclose(other.predict(image)[2], learn.predict(image)[2], atol=1e-5)


@pytest.mark.parametrize("target", ["soft3", "tree"])
def test_soft_targets_train_and_predict_too(simple, tmp_path, target):
    dls = galaxy_dataloaders(simple, str(RECIPE), size=32, batch=16, target=target)
    learn = galaxy_learner(dls, path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 1e-3)
        predicted, true = learn.get_preds()
        assert predicted.shape == true.shape
        assert learn.predict(dls.split["image"].iloc[0])[2].shape == predicted[0].shape
