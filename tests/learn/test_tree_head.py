import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np

from galaxymorph.base import BadInput
from galaxymorph.learn import TreeHead, concentrations
from galaxymorph.zoo import SCHEMAS, reached, to_conditional, to_cumulative
from tests.makers import SEVERAL

TREES = {name: SCHEMAS[name].tree for name in SEVERAL}
LINKS = ["softmax", "dirichlet"]

every_tree = pytest.mark.parametrize("tree", TREES.values(), ids=TREES.keys())
every_link = pytest.mark.parametrize("link", LINKS)


def logits_of(tree, n: int = 6, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, len(tree.columns), generator=generator)


def sums_that_hold(tree, cumulative: torch.Tensor) -> None:
    values = cumulative.detach().double().numpy()
    assert np.isfinite(values).all()
    assert ((values >= 0) & (values <= 1 + 1e-6)).all()
    assert np.abs(values @ tree.membership.T - reached(tree, values)).max() < 1e-6


@every_tree
@every_link
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_sums_hold_for_any_logits(tree, link, data):
    shape = (3, len(tree.columns))
    wide = st.one_of(st.floats(-1e4, 1e4, width=32), st.sampled_from([-1e4, 0.0, 1e4]))
    logits = torch.from_numpy(data.draw(st_np.arrays(np.float32, shape, elements=wide)))
    logits.requires_grad_()
    cumulative = TreeHead(tree, link)(logits)
    sums_that_hold(tree, cumulative)
    cumulative.square().sum().backward()
    assert torch.isfinite(logits.grad).all()


@every_tree
@every_link
def test_the_head_does_what_the_votes_arithmetic_does(tree, link):
    """Within a question by a loop here, down the tree by `to_cumulative`."""
    logits = logits_of(tree, 50).double()
    weights = logits.exp() if link == "softmax" else 1 + 99 / (1 + (-logits).exp())
    conditional = to_conditional(tree, weights.numpy())
    head = TreeHead(tree, link)
    assert np.allclose(head.conditional(logits), conditional, atol=1e-12)
    assert np.allclose(head(logits), to_cumulative(tree, conditional), atol=1e-12)


@every_tree
def test_log_softmax_is_the_logarithm_and_stays_finite(tree):
    head, logits = TreeHead(tree), logits_of(tree)
    assert torch.allclose(head.log_softmax(logits), head.conditional(logits).log(), atol=1e-5)
    assert torch.isfinite(head.log_softmax(logits * 1e4)).all()


def test_question_6_of_the_challenge_is_asked_of_everybody():
    tree = TREES["galaxy-zoo-challenge"]
    cumulative = TreeHead(tree)(logits_of(tree))
    at = [tree.columns.index(column) for column in ("Class6.1", "Class6.2")]
    assert torch.allclose(cumulative[:, at].sum(dim=1), torch.ones(6))


@every_tree
def test_half_precision_is_computed_in_single_precision(tree):
    head = TreeHead(tree)
    for dtype in (torch.bfloat16, torch.float16):
        logits = logits_of(tree).to(dtype)
        assert head(logits).dtype == torch.float32
        assert torch.equal(head(logits), head(logits.float()))
    assert head(logits_of(tree).double()).dtype == torch.float64


@every_tree
@every_link
def test_automatic_mixed_precision_leaves_the_arithmetic_alone(tree, link):
    head, logits = TreeHead(tree, link), logits_of(tree)
    with torch.autocast("cpu", torch.bfloat16):
        cumulative = head(logits)
    assert cumulative.dtype == torch.float32
    assert torch.equal(cumulative, head(logits))


def test_the_gradient_is_right():
    tree = TREES["galaxy-zoo-2"]
    logits = logits_of(tree, 1).double().requires_grad_()
    for link in LINKS:
        assert torch.autograd.gradcheck(TreeHead(tree, link), logits)


def test_concentrations_rise_from_1_to_100():
    alpha = concentrations(torch.tensor([-1e4, -1.0, 0.0, 1.0, 1e4]))
    assert (alpha.diff() > 0).all()
    assert alpha[[0, 2, 4]].tolist() == [1.0, 50.5, 100.0]


def test_the_head_has_no_state_to_keep_and_names_a_link_it_lacks():
    tree = TREES["galaxy-zoo-2"]
    assert TreeHead(tree).state_dict() == {}
    assert not list(TreeHead(tree).parameters())
    with pytest.raises(BadInput, match="link 'sigmoid' is unknown; use one of softmax, dirichlet"):
        TreeHead(tree, "sigmoid")


class Heads(torch.nn.Module):
    """The head with each link, behind a layer, as in a network."""

    def __init__(self, tree):
        super().__init__()
        self.layer = torch.nn.Linear(8, len(tree.columns))
        self.heads = torch.nn.ModuleList(TreeHead(tree, link) for link in LINKS)

    def forward(self, batch: torch.Tensor) -> list[torch.Tensor]:
        logits = self.layer(batch)
        return [head(logits) for head in self.heads]


@pytest.fixture(scope="module", params=TREES)
def exported(request):
    """Heads and their export, from one batch of another size."""
    torch.manual_seed(0)
    network, batch = Heads(TREES[request.param]), torch.randn(5, 8)
    any_number = ({0: torch.export.Dim("n", min=1)},)
    return network.eval(), torch.export.export(network, (batch,), dynamic_shapes=any_number)


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_torch_export_takes_any_number_of_galaxies(exported, n):
    network, program = exported
    batch = torch.randn(n, 8)
    found, expected = program.module()(batch), network(batch)
    assert len(found) == len(LINKS)
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_onnx_takes_any_number_of_galaxies(exported, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    network, program = exported
    path = tmp_path / "head.onnx"
    torch.onnx.export(program, dynamo=True, verbose=False).save(path)
    session = onnxruntime.InferenceSession(path)
    (name,) = [each.name for each in session.get_inputs()]
    for n in (1, 2, 5, 64):
        batch = torch.randn(n, 8)
        found, expected = session.run(None, {name: batch.numpy()}), network(batch)
        assert len(found) == len(LINKS)
        for one, other in zip(found, expected, strict=True):
            assert np.abs(one - other.detach().numpy()).max() < 1e-6
