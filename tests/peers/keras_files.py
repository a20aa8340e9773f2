"""Write small Keras models as ONNX files, by Keras' own exporter, with what they predict.

    python tests/peers/keras_files.py BACKEND FOLDER

The backend is torch, tensorflow (which needs tf2onnx) or jax (which needs jax2onnx). Keras takes
its backend when it is imported, so each has a process of its own.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np

NAMES = ["lenet", "vgg", "resnet", "separable"]


def models(keras):
    """Return {name: model}; images have their channels last."""
    layers = keras.layers

    def normalized(x, width, kernel, stride=1):
        x = layers.Conv2D(width, kernel, stride, padding="same", use_bias=False)(x)
        return layers.BatchNormalization()(x)

    def block(x, width, stride):
        y = layers.ReLU()(normalized(x, width, 3, stride))
        y = normalized(y, width, 3)
        side = x if stride == 1 else normalized(x, width, 1, stride)
        return layers.ReLU()(layers.Add()([side, y]))

    image = keras.Input((16, 16, 3))
    x = layers.ReLU()(normalized(image, 8, 3))
    x = layers.GlobalAveragePooling2D()(block(block(x, 8, 1), 16, 2))
    resnet = keras.Model(image, layers.Dense(10)(x))

    image = keras.Input((16, 16, 3))
    x = layers.ReLU(6.0)(normalized(image, 8, 3, 2))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.Activation("silu")(layers.BatchNormalization()(x))
    x = layers.SeparableConv2D(12, 3, padding="same", activation="elu")(x)
    x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
    x = layers.Concatenate()([x, layers.Conv2D(4, 1, activation="sigmoid")(x)])
    x = layers.Dense(10, activation="softmax")(layers.GlobalMaxPooling2D()(x))
    separable = keras.Model(image, x)

    lenet = [
        keras.Input((28, 28, 1)),
        layers.Conv2D(6, 5, padding="same", activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Conv2D(16, 5, activation="tanh"),
        layers.AveragePooling2D(2),
        layers.Flatten(),
        layers.Dense(120, activation="tanh"),
        layers.Dense(84, activation="tanh"),
        layers.Dense(10, activation="softmax"),
    ]
    vgg = [
        keras.Input((16, 16, 3)),
        layers.Conv2D(8, 3, padding="same", activation="relu"),
        layers.Conv2D(8, 3, padding="same", activation="elu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(16, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.LeakyReLU(0.2),
        layers.MaxPooling2D(2),
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(20, activation="relu"),
        layers.Dense(10),
    ]
    chains = [keras.Sequential(lenet), keras.Sequential(vgg)]
    return dict(zip(NAMES, [*chains, resnet, separable], strict=True))


def main(backend: str, folder: Path) -> None:
    os.environ["KERAS_BACKEND"] = backend
    import keras

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    for name, model in models(keras).items():
        moved = [w + (rng.uniform(0.1, 0.5, w.shape) if w.ndim == 1 else 0)
                 for w in model.get_weights()]  # biases, gammas, averages  # fmt: skip
        model.set_weights(moved)
        x = rng.normal(size=(2, *model.input_shape[1:])).astype(np.float32)
        y = np.asarray(keras.ops.convert_to_numpy(model(x, training=False)))
        np.savez(folder / f"{name}.npz", x=x, y=y)
        model.export(str(folder / f"{name}.onnx"), format="onnx", verbose=False)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
