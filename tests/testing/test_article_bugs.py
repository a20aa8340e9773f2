"""The checks find the bugs of the article's manual gradients, and elunet's own layers pass."""

import numpy as np
import pytest
from hypothesis import given, settings

from elunet import layers
from elunet.testing import GradientCheckError, check_layer, strategies

BASES = ("Layer", "SpanLayer", "Elementwise", "Weighted")
KINDS = [name for name in layers.__all__ if name not in BASES]


@pytest.fixture
def images():
    return strategies.spread((2, 6, 4, 3), np.random.default_rng(0))


def message(layer, x):
    with pytest.raises(GradientCheckError) as caught:
        check_layer(layer, x)
    return str(caught.value)


class ArticleELU(layers.ELU):
    """The article's derivative: [x > 0] + elu(min(x, 0)) + 1."""

    def forward(self, x, train=False):
        self.x = x
        return super().forward(x, train)

    def backward_input(self, dy):
        return dy * ((self.x > 0) + np.expm1(np.minimum(self.x, 0)) + 1)


def test_elu_with_derivative_2_above_0(images):
    text = message(ArticleELU(), images)
    assert "ArticleELU(alpha=1)" in text
    assert "dx is wrong at 72 of 144 entries" in text
    assert (
        "wrong only where x > 0, there analytic = 2 x numeric: look at the derivative's positive "
        "branch"
    ) in text


class ArticleMeanPool(layers.MeanPool2D):
    """Repeats the gradient to all entries of a window, without dividing it."""

    def backward_input(self, dy):
        return dy.repeat(self.size, axis=1).repeat(self.size, axis=2)


def test_mean_pooling_without_a_quarter(images):
    text = message(ArticleMeanPool(), images)
    assert "dx is wrong at 144 of 144 entries" in text
    assert (
        "analytic = 4 x numeric everywhere: a missing factor 1/4, the window's area: mean "
        "pooling's gradient is dy / (size * size)"
    ) in text


class AveragedConv(layers.Conv2D):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.grads["b"] = dy.mean(axis=(0, 1, 2))


class AveragedLinear(layers.Linear):
    def backward_params(self, dy):
        super().backward_params(dy)
        self.grads["b"] = dy.mean(axis=0)


def test_bias_gradient_averaged(images):
    text = message(AveragedConv(3, 2, 3, seed=0), images)
    assert "grads['b'] is wrong at 2 of 2 entries" in text
    assert (
        "analytic = 1/48 x numeric everywhere: averaged over the batch and its positions (2 x 24) "
        "instead of summed"
    ) in text
    text = message(AveragedLinear(12, 3, seed=0), images.reshape(12, 12))
    assert "grads['b'] is wrong at 3 of 3 entries" in text
    assert "averaged over the batch of 12 instead of summed" in text


class LateDropout(layers.Dropout):
    def backward_input(self, dy):
        self.forward(np.ones_like(dy), train=True)
        return super().backward_input(dy)


def test_dropout_with_a_new_mask_on_the_way_back(images):
    assert "dx" in message(LateDropout(0.5, seed=0), images)


class NoMeanTerm(layers.BatchNorm):
    def backward_input(self, dy):
        x_hat, gamma, rstd, _ = self.recall()
        count = x_hat[..., 0].size
        return gamma * rstd * (dy - x_hat * np.sum(dy * x_hat, axis=(0, 1, 2)) / count)


def test_batch_norm_without_the_term_of_the_mean(images):
    assert "cause: the term that comes through the mean is missing" in message(
        NoMeanTerm(3), images
    )


@pytest.mark.parametrize("kind", KINDS)
def test_layers_pass(kind):
    @settings(max_examples=12)
    @given(strategies.layers(kind))
    def every_gradient_is_right(pair):
        layer, x = pair
        for train in (True, False):
            result = check_layer(layer, x, train=train, entries=5000)
            assert all(row.checked == row.size for row in result.rows)

    every_gradient_is_right()


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 5.0])
def test_elu_passes_for_any_alpha(alpha, images):
    assert check_layer(layers.ELU(alpha), images).max_rel_error < 1e-6


def test_elu_has_a_kink_unless_alpha_is_1(images):
    images[1, 2, 3, 0] = 0
    check_layer(layers.ELU(1.0), images)
    with pytest.raises(GradientCheckError, match=r"x\[1, 2, 3, 0\] = 0 sits on a kink"):
        check_layer(layers.ELU(2.0), images)


def test_ties_of_max_pooling(images):
    with pytest.raises(GradientCheckError, match="sits on a kink or a tie"):
        check_layer(layers.MaxPool2D(), np.zeros_like(images))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(3, 4, 5, seed=1),
        layers.Conv2D(3, 4, 3, stride=2, seed=1),
        layers.Conv2D(3, 2, 2, padding=1, bias=False, seed=1),
        layers.MaxPool2D(3, 1),
        layers.MeanPool2D(3, 2),
    ],
    ids=repr,
)
def test_larger_layers_pass(layer, images):
    check_layer(layer, images)
