"""Keras 3 on TensorFlow, channels last: a compiled train step, plain or through XLA."""

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import tensorflow as tf
from works import Network, Work, data, feedback, weights

from peers import Built


class AlignedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
    """A convolution whose gradient goes down through a fixed B."""

    B: Any

    def call(self, x: Any) -> Any:
        """Return the convolution of x."""
        B = self.B

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def aligned(x: Any, W: Any) -> Any:
            def backward(dy: Any) -> Any:
                geometry = ([1, 1, 1, 1], "SAME")
                dx = tf.nn.conv2d_transpose(dy, B, tf.shape(x), *geometry)
                dW = tf.raw_ops.Conv2DBackpropFilter(
                    input=x, filter_sizes=W.shape, out_backprop=dy, strides=[1] * 4, padding="SAME"
                )
                return dx, dW

            return tf.nn.conv2d(x, W, 1, "SAME"), backward

        return aligned(x, tf.convert_to_tensor(self.kernel))


def model(network: Network) -> Any:
    """Return the described network, with everybody's weights."""
    layers: list[Any] = []
    matrices = iter(feedback(network))
    for part, _, _ in network.walk():
        match part:
            case ("conv", units, size, padding):
                kind = AlignedConv2D if network.aligned else keras.layers.Conv2D
                made = kind(units, size, padding=padding, use_bias=network.bias)
                made.B = tf.constant(next(matrices))
            case ("dense", units):
                made = keras.layers.Dense(units, use_bias=network.bias)
            case ("dropout", rate):
                made = keras.layers.Dropout(rate)
            case ("elu",):
                made = keras.layers.Activation("elu")
            case ("max_pool",):
                made = keras.layers.MaxPooling2D(2)
            case ("mean_pool",):
                made = keras.layers.AveragePooling2D(2)
            case _:  # the global mean of one pixel is no more than that
                made = keras.layers.Flatten()
        layers.append(made)
    net = keras.Sequential([keras.Input(network.input), *layers])
    net.set_weights(weights(network))
    return net


def build(work: Work, threads: int, variant: str) -> Built:
    """Return the work's network in Keras."""
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    examples, labels = data(work)
    x, y = tf.constant(examples), tf.constant(labels)
    net, network = model(work.network), work.network
    optimizer: Any = (
        keras.optimizers.SGD(network.lr, momentum=0.9)
        if network.optimizer == "sgd"
        else keras.optimizers.Adam(network.lr, epsilon=1e-8)
    )
    optimizer.build(net.trainable_variables)
    compiled: Any = tf.function(jit_compile=variant == "xla")

    @compiled  # type: ignore[untyped-decorator]
    def train(x: Any, y: Any) -> Any:
        variables = [variable.value for variable in net.trainable_variables]
        with tf.GradientTape() as tape:
            logits = net(x, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            value = tf.reduce_mean(losses)
        gradients = tape.gradient(value, variables)
        if network.l2:
            gradients = [
                gradient + network.l2 * variable if len(variable.shape) > 1 else gradient
                for gradient, variable in zip(gradients, variables, strict=True)
            ]
        optimizer.apply(gradients, net.trainable_variables)
        return value

    @compiled  # type: ignore[untyped-decorator]
    def infer(x: Any) -> Any:
        return net(x, training=False)

    def step() -> None:  # .numpy() waits for the value
        (train(x, y) if work.phase == "train" else infer(x)).numpy()

    return Built(step, lambda: infer(x).numpy(), net.count_params())
