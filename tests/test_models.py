"""The paper's and the article's networks: their sizes, their order, and that they learn."""

from __future__ import annotations

import re

import numpy as np
import pytest

import elunet as eln
from elunet import layers as L
from elunet.init import Normal
from elunet.models import ARTICLE_WIDTHS, article_case, elu11, elu18

NARROW = (8, 8, 10, 10, 12, 12, 14, 14, 16, 16)


def count(net):
    return sum(value.size for value in net.parameters().values())


def total_multiply_adds(net):
    return int(net.summary((32, 32, 3)).split()[-1].replace(",", ""))


def kinds(net):
    return [type(layer).__name__ for layer in net.layers]


def convolutions(net):
    return [layer for layer in net.layers if isinstance(layer, L.Conv2D)]


class TestElu11:
    def test_parameters(self):
        assert count(elu11()) == 1_641_938
        assert count(elu11(bias=False)) == 1_639_384
        assert count(elu11(classes=100)) == 1_641_938 + 90 * 301

    @pytest.mark.jit
    def test_multiply_adds(self):
        assert total_multiply_adds(elu11()) == 157_503_304

    def test_layers_in_their_order(self):
        assert kinds(elu11()) == [
            *("Conv2D", "ELU", "MaxPool2D"),
            *("Conv2D", "ELU", "Conv2D", "ELU", "MaxPool2D", "Dropout") * 4,
            *("Conv2D", "ELU", "Dropout"),
            *("Conv2D", "GlobalMeanPool2D"),
        ]
        net = elu11()
        assert [layer.rate for layer in net.layers if isinstance(layer, L.Dropout)] == [
            *(0.1, 0.2, 0.3, 0.4, 0.5)
        ]
        assert [layer.kernel_size[0] for layer in convolutions(net)] == [
            5,
            1,
            3,
            1,
            2,
            1,
            2,
            1,
            2,
            1,
            1,
        ]
        assert [layer.out_channels for layer in convolutions(net)] == [
            *(192, 192, 240, 240, 260, 260, 280, 280, 300, 300, 10)
        ]
        assert all(layer.padding == "same" and layer.stride == 1 for layer in convolutions(net))

    def test_arguments(self):
        net = elu11(3, "mean", NARROW, dropout=(0.5, 0, 0, 0, 0, 0), alpha=2.0)
        assert kinds(net)[:5] == ["Conv2D", "ELU", "MeanPool2D", "Dropout", "Conv2D"]
        assert kinds(net).count("Dropout") == 1
        assert net["elu1"].alpha == 2.0
        y = net.forward(np.zeros((2, 32, 32, 3), np.float32))
        assert y.shape == (2, 3)

    def test_seeds(self):
        W = [elu11(widths=NARROW, seed=seed)["conv2"].params["W"] for seed in (0, 0, 1)]
        np.testing.assert_array_equal(W[0], W[1])
        assert (W[0] != W[2]).any()
        default = elu11(widths=NARROW)["conv2"].params["W"]
        np.testing.assert_array_equal(default, W[0])

    def test_weights_are_hes(self):
        for layer in convolutions(elu11())[:4]:
            W = layer.params["W"]
            assert W.std() == pytest.approx(np.sqrt(2 / np.prod(W.shape[:-1])), rel=0.05)

    def test_bad_arguments(self):
        with pytest.raises(
            ValueError, match="elu11: expected 10 widths and 6 dropout rates, got 3 an"
        ):
            elu11(widths=(1, 2, 3))
        with pytest.raises(ValueError, match="elu11: .*, got 10 and 2"):
            elu11(dropout=(0.1, 0.2))
        message = "elu11: expected pool to be one of ('max', 'mean'), got 'avg'"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            elu11(pool="avg")
        for make, owner in (
            (elu11, "elu11"),
            (elu18, "elu18"),
            (lambda **more: article_case("b", **more), "article_case"),
        ):
            with pytest.raises(ValueError, match=f"^{owner}: expected classes of at least 1, got"):
                make(classes=0)
        with pytest.raises(TypeError, match="expected init as a callable .* got 'he'"):
            elu11(widths=NARROW, init="he")

    @pytest.mark.jit
    def test_other_image_sizes(self):
        """Larger images give as many logits; at 32 x 32 the mean is of one pixel, and exact."""
        net = elu11(7, widths=NARROW)
        rng = np.random.default_rng(0)
        for side in (32, 64, 70):
            x = rng.normal(size=(2, side, side, 3)).astype(np.float32)
            outputs = {}
            y = net.forward(x, tap=outputs.__setitem__)
            assert y.shape == (2, 7)
            if side == 32:
                np.testing.assert_array_equal(y, outputs["conv11"].reshape(2, 7))
        with pytest.raises(ValueError, match=r"^maxpool5 .* expected x of at least 2 x 2 pixels"):
            net(np.zeros((2, 16, 16, 3), np.float32))
        for rate in (-0.1, np.nan, 1.0):
            with pytest.raises(ValueError, match=r"Dropout: expected rate in \[0, 1\)"):
                elu11(widths=NARROW, dropout=(rate, 0, 0, 0, 0, 0))

    @pytest.mark.jit
    @pytest.mark.parametrize("pool", ["max", "mean"])
    def test_it_learns(self, pool):
        net = elu11(4, pool, NARROW, dropout=(0.0,) * 6)
        rng = np.random.default_rng(0)
        labels = np.arange(20) % 4
        x = rng.normal(0, 0.3, size=(20, 32, 32, 3)).astype(np.float32)
        x[..., 0] += labels[:, None, None] - 1.5
        loss = eln.losses.SoftmaxCrossEntropy()
        values = []
        for _ in range(15):
            value, dy = loss(net.forward(x, train=True), labels)
            values.append(value)
            eln.routers.Backprop().backward(net, dy)
            for name, parameter in net.parameters().items():
                parameter -= np.float32(0.02) * net.gradients()[name]
        assert values[-1] < 0.7 * values[0]


@pytest.fixture(scope="module")
def net():
    """Build ELU-18 once: its weights are 160 MB."""
    return elu18()


class TestElu18:
    def test_parameters(self, net):
        assert count(net) == 39_226_634
        assert len(convolutions(net)) == 19

    @pytest.mark.jit
    def test_multiply_adds(self, net):
        assert total_multiply_adds(net) == 1_496_804_608

    def test_layers_in_their_order(self, net):
        pair = ("Conv2D", "ELU")
        assert kinds(net) == [
            *(*pair, "MaxPool2D"),
            *(*pair * 4, "MaxPool2D", "Dropout") * 2,
            *(*pair * 3, "MaxPool2D", "Dropout") * 2,
            *(*pair * 2, "Dropout"),
            *(*pair, "Dropout"),
            *("Conv2D", "GlobalMeanPool2D"),
        ]
        rates = [layer.rate for layer in net.layers if isinstance(layer, L.Dropout)]
        assert rates == [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]

    @pytest.mark.jit
    def test_a_step(self, net):
        y = net.forward(np.ones((1, 32, 32, 3), np.float32), train=True)
        assert y.shape == (1, 10)
        assert net.backward(y).shape == (1, 32, 32, 3)
        assert all(np.isfinite(value).all() for value in net.gradients().values())

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match="elu18: expected 7 dropout rates, got 6"):
            elu18(dropout=(0.0,) * 6)
        with pytest.raises(ValueError, match="^elu18: expected pool to be one of .*got 'min'$"):
            elu18(pool="min")


class TestArticle:
    @pytest.mark.parametrize(
        ("case", "parameters"),
        [("a", 1_639_384), ("b", 63_884), ("c", 974_784), ("d", 1_465_720), ("e", 1_465_720)],
    )
    def test_parameters(self, case, parameters):
        net = article_case(case)
        assert count(net) == parameters
        assert not any(layer.bias for layer in convolutions(net))
        assert [layer.out_channels for layer in convolutions(net)] == [*ARTICLE_WIDTHS[case], 10]
        assert all(layer.init == Normal(std=0.05) for layer in convolutions(net))
        assert ("Dropout" in kinds(net)) == (case == "a")
        assert ("MaxPool2D" in kinds(net)) == (case == "a")
        W = net["conv2"].params["W"]
        assert W.std() == pytest.approx(0.05, rel=0.2)

    @pytest.mark.jit
    @pytest.mark.parametrize(
        ("case", "adds"),
        [
            *(("a", 157_503_304), ("b", 3_494_216), ("c", 124_639_104)),
            *(("d", 133_769_560), ("e", 133_769_560)),
        ],
    )
    def test_multiply_adds(self, case, adds):
        assert total_multiply_adds(article_case(case)) == adds

    def test_where_dilated_backprop_can_add(self):
        """In cases c to e the outputs of convolutions 2, 4, 6, 8 have the next one's shape."""
        for case in "cde":
            widths = ARTICLE_WIDTHS[case]
            assert [k for k in (2, 4, 6, 8) if widths[k - 1] == widths[k]] == [2, 4, 6, 8]

    def test_seeds_and_classes(self):
        nets = [article_case("b", seed=seed, classes=3) for seed in (0, 0, 1)]
        W = [net["conv11"].params["W"] for net in nets]
        assert W[0].shape == (1, 1, 68, 3)
        np.testing.assert_array_equal(W[0], W[1])
        assert (W[0] != W[2]).any()

    @pytest.mark.parametrize("case", ["f", "", "ab", None, 1])
    def test_other_cases(self, case):
        message = f"article_case: expected case as one of a, b, c, d, e, got {case!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            article_case(case)


@pytest.mark.parametrize(
    ("net", "parameters", "shape"),
    [
        (eln.models.resnet(20), 0.27e6, (32, 32, 3)),  # the paper's table 6
        (eln.models.resnet(32), 0.46e6, (32, 32, 3)),
        (eln.models.resnet(56), 0.85e6, (32, 32, 3)),
        (eln.models.lenet5(), 61_706, (28, 28, 1)),
        (eln.models.lenet5(size=32, channels=3), 62_006, (32, 32, 3)),
        (eln.models.vgg(), 9.23e6, (32, 32, 3)),
        (eln.models.all_cnn(), 1.37e6, (32, 32, 3)),
        (eln.models.locally_connected(size=16, widths=(4, 8)), 25_482, (16, 16, 3)),
        (eln.models.elu11(classes=100), 1_669_028, (32, 32, 3)),
    ],
)
def test_sizes_of_others_networks(net, parameters, shape):
    digits = 2 if parameters >= 1e5 else 5
    assert float(f"{count(net):.{digits}g}") == float(f"{parameters:.{digits}g}")
    x = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    logits = net.forward(x, train=True)
    assert logits.shape == (2, 100 if parameters == 1_669_028 else 10)
    assert np.isfinite(logits).all()
    dx = net.backward(np.ones_like(logits))
    assert dx.shape == x.shape
    assert all(g.any() for name, g in net.gradients().items() if name.endswith(".W"))


@pytest.mark.parametrize("make", [eln.models.resnet, eln.models.vgg, eln.models.all_cnn])
def test_seeds_decide(make):
    one, two, other = make(seed=1), make(seed=1), make(seed=2)
    for name, w in one.parameters().items():
        np.testing.assert_array_equal(w, two.parameters()[name])
    assert not np.array_equal(one["conv2"].params["W"], other["conv2"].params["W"])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: eln.models.resnet(21), "resnet: expected depth of 6 n [+] 2"),
        (lambda: eln.models.resnet(widths=(16, 8, 64)), "expected three widths that do not fall"),
        (lambda: eln.models.lenet5(size=30), "lenet5: expected size 28 or 32, got 30"),
    ],
)
def test_models_that_cannot_be(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    "make",
    [
        *(eln.models.small_cnn, eln.models.mlp, eln.models.elu11),
        *(eln.models.resnet, eln.models.locally_connected),
    ],
)
def test_widths_are_a_sequence_of_integers(make):
    with pytest.raises(TypeError, match=f"{make.__name__}: expected widths as a sequence of int"):
        make(widths=8)
    with pytest.raises(TypeError, match=rf"{make.__name__}: expected widths\[1\] as an integer"):
        make(widths=(8, 8.5, 16))


@pytest.mark.parametrize(("channels", "size"), [(1, 8), (1, 28), (3, 32), (2, 15)])
def test_small_cnn_takes_other_images(channels, size):
    net = eln.models.small_cnn(5, (2, 2, 4), channels=channels, size=size)
    assert net(np.zeros((2, size, size, channels), np.float32)).shape == (2, 5)
    with pytest.raises(ValueError, match="small_cnn: expected size of at least 8, got 7"):
        eln.models.small_cnn(size=7)


def test_resnet_agrees_with_pytorch():
    """Its own modules, written out with the paper's option A, and elunet's weights in them."""
    torch = pytest.importorskip("torch")
    nn, functional = torch.nn, torch.nn.functional
    net = eln.models.resnet(8, widths=(4, 8, 16), seed=0)
    rng = np.random.default_rng(0)
    for layer in net.layers:
        for values in (layer.params, layer.state):
            for key, value in values.items():
                if not key.startswith("W"):
                    values[key] = rng.uniform(0.5, 1.5, value.shape).astype(value.dtype)

    class Block(nn.Module):
        def __init__(self, before, after):
            super().__init__()
            self.stride, self.more = 2 if after > before else 1, (after - before) // 2
            self.conv1 = nn.Conv2d(before, after, 3, self.stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(after)
            self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(after)

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            side = x[:, :, :: self.stride, :: self.stride]
            return torch.relu(y + functional.pad(side, (0, 0, 0, 0, self.more, self.more)))

    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        Block(4, 4), Block(4, 8), Block(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(16, 10),
    ).eval()  # fmt: skip
    names = eln.exchange.torch_names(net, module.state_dict())
    arrays = eln.exchange.to_torch(net, names)
    module.load_state_dict({name: torch.as_tensor(a) for name, a in arrays.items()})
    x = rng.normal(size=(2, 32, 32, 3)).astype(np.float32)
    expected = module(torch.tensor(x.transpose(0, 3, 1, 2))).detach().numpy()
    np.testing.assert_allclose(net(x), expected, rtol=1e-4, atol=1e-4)
