"""PyTorch's samples for modules (module_db), computed by elunet's layers and losses.

A module is its function with its own weights and settings, so it goes the way of the operators.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn

from peers.counting import Counts, NotExpressible
from peers.torch_samples import DTYPES, importable
from peers.torch_twins import TWINS, LossTwin, Twin, instance_norm


def run(counts: Counts, dtypes=DTYPES) -> None:
    """Count all samples of the modules that elunet has; one for each of the other modules."""
    importable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_modules import module_db

        for info in module_db:
            if info.module_cls not in CALLS:
                counts.missing["other modules", "no layer or loss"] += 1
                continue
            for dtype in dtypes:
                for training in (False, True) if info.train_and_eval_differ else (False,):
                    torch.manual_seed(0)
                    for given in info.module_inputs_func(info, "cpu", dtype, True, training):
                        name = f"{dtype}, training {training}, {given.desc}"
                        counts.take(
                            info.name,
                            name,
                            lambda info=info, given=given, dtype=dtype, training=training: check(
                                info, given, dtype, training
                            ),
                        )


def check(info, given, dtype: torch.dtype, training: bool) -> None:
    """Compare a module's result and its gradients."""
    made, inputs = given.constructor_input, given.forward_input
    if inputs is None:
        raise NotExpressible("no input")
    module = info.module_cls(*made.args, **made.kwargs).to(dtype).train(training)
    CALLS[info.module_cls](module, *inputs.args, **inputs.kwargs).check(
        lambda: module(*inputs.args, **inputs.kwargs)
    )


def function(name: str) -> Callable[..., Twin | LossTwin]:
    return TWINS.get(f"nn.functional.{name}", TWINS.get(name))


def settings(name: str, *attributes: str):
    """Return the call of a function with attributes of a module as arguments of their names."""

    def call(module, *inputs, **more):
        given = {each: getattr(module, each) for each in attributes}
        return function(name)(*inputs, **more, **given)

    return call


def conv(sides: int):
    """Modules keep a padding that is a string, or pixels, in the same attribute."""
    names = ["weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode"]
    return settings(f"conv{sides}d", *names)


def batch_norm(module, x):
    return function("batch_norm")(
        x,
        module.running_mean,
        module.running_var,
        module.weight,
        module.bias,
        module.training or module.running_mean is None,
        eps=module.eps,
    )


def instance(sides: int):
    def call(module, x):
        own = module.training or not module.track_running_stats
        weights = module.weight, module.bias
        return instance_norm(x, None, None, *weights, own, eps=module.eps, sides=sides)

    return call


def padding(mode: str, value: str = ""):
    def call(module, x):
        return function("pad")(x, module.padding, mode, getattr(module, value) if value else 0)

    return call


def softmax2d(module, x):
    return function("softmax")(x, -3)


MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
MEAN = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
CALLS: dict[type[nn.Module], Callable[..., Twin | LossTwin]] = {
    nn.AdaptiveAvgPool1d: settings("adaptive_avg_pool1d", "output_size"),
    nn.AdaptiveAvgPool2d: settings("adaptive_avg_pool2d", "output_size"),
    nn.AdaptiveMaxPool1d: settings("adaptive_max_pool1d", "output_size"),
    nn.AdaptiveMaxPool2d: settings("adaptive_max_pool2d", "output_size"),
    nn.AvgPool1d: settings("avg_pool1d", *MEAN),
    nn.AvgPool2d: settings("avg_pool2d", *MEAN, "divisor_override"),
    nn.BCEWithLogitsLoss: settings(
        "binary_cross_entropy_with_logits", "weight", "reduction", "pos_weight"
    ),
    nn.BatchNorm1d: batch_norm,
    nn.BatchNorm2d: batch_norm,
    nn.BatchNorm3d: batch_norm,
    nn.CELU: settings("celu", "alpha"),
    nn.ConstantPad1d: padding("constant", "value"),
    nn.ConstantPad2d: padding("constant", "value"),
    nn.Conv1d: conv(1),
    nn.Conv2d: conv(2),
    nn.CrossEntropyLoss: settings(
        "cross_entropy", "weight", "ignore_index", "reduction", "label_smoothing"
    ),
    nn.ELU: settings("elu", "alpha"),
    nn.GELU: settings("gelu", "approximate"),
    nn.GroupNorm: settings("group_norm", "num_groups", "weight", "bias", "eps"),
    nn.Hardtanh: settings("hardtanh", "min_val", "max_val"),
    nn.HuberLoss: settings("huber_loss", "reduction", "delta"),
    nn.InstanceNorm1d: instance(1),
    nn.InstanceNorm2d: instance(2),
    nn.InstanceNorm3d: instance(3),
    nn.KLDivLoss: settings("kl_div", "reduction", "log_target"),
    nn.L1Loss: settings("l1_loss", "reduction"),
    nn.LayerNorm: settings("layer_norm", "normalized_shape", "weight", "bias", "eps"),
    nn.LeakyReLU: settings("leaky_relu", "negative_slope"),
    nn.Linear: settings("linear", "weight", "bias"),
    nn.LogSoftmax: settings("log_softmax", "dim"),
    nn.MSELoss: settings("mse_loss", "reduction"),
    nn.MaxPool1d: settings("max_pool1d", *MAX),
    nn.MaxPool2d: settings("max_pool2d", *MAX),
    nn.MultiMarginLoss: settings("multi_margin_loss", "p", "margin", "weight", "reduction"),
    nn.NLLLoss: settings("nll_loss", "weight", "ignore_index", "reduction"),
    nn.PReLU: settings("prelu", "weight"),
    nn.ReLU: settings("relu"),
    nn.ReLU6: settings("relu6"),
    nn.ReflectionPad1d: padding("reflect"),
    nn.ReflectionPad2d: padding("reflect"),
    nn.ReplicationPad1d: padding("replicate"),
    nn.ReplicationPad2d: padding("replicate"),
    nn.SELU: settings("selu"),
    nn.SiLU: settings("silu"),
    nn.Sigmoid: settings("sigmoid"),
    nn.SmoothL1Loss: settings("smooth_l1_loss", "reduction", "beta"),
    nn.Softmax: settings("softmax", "dim"),
    nn.Softmax2d: softmax2d,
    nn.Softplus: settings("softplus", "beta", "threshold"),
    nn.Tanh: settings("tanh"),
    nn.ZeroPad1d: padding("constant"),
    nn.ZeroPad2d: padding("constant"),
}
"""For each module its function's twin, called with the module's weights and settings."""
