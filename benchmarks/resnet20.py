"""Train ResNet-20 for a moment with several learning rules.

    python benchmarks/resnet20.py path/to/cifar10 --csv docs/data/resnet20.csv

Two epochs of 2,000 images, SGD with momentum 0.9, and the accuracy on 1,000 test images.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import elunet as eln
from elunet import routers

RULES = {
    "backprop": routers.Backprop,
    "fa": routers.FeedbackAlignment,
    "usf": routers.SignSymmetry,
}
IMAGES, TEST_IMAGES, EPOCHS, RATE, BATCH_SIZE = 2000, 1000, 2, 0.05, 50


def main() -> None:
    """Train and print; keep the table if `--csv` is given."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="CIFAR-10 in its official layout")
    parser.add_argument("--csv", type=Path, help="where to keep the numbers")
    options = parser.parse_args()
    (x, y), (x_test, y_test) = eln.data.load_cifar10(options.data)
    x, x_test = eln.data.standardize(x[:IMAGES], x_test[:TEST_IMAGES])
    lines = ["rule,epoch,train_loss,train_accuracy,test_accuracy"]
    for name, make in RULES.items():
        trainer = eln.Trainer(
            eln.models.resnet(20, seed=0),
            eln.losses.SoftmaxCrossEntropy(),
            eln.optim.SGD(RATE, momentum=0.9),
            make(),
            batch_size=BATCH_SIZE,
            progress=False,
        )
        for row in trainer.fit((x, y[:IMAGES]), (x_test, y_test[:TEST_IMAGES]), EPOCHS):
            numbers = row.train_loss, row.train_accuracy, row.validation_accuracy
            lines.append(f"{name},{row.epoch}," + ",".join(f"{n:.4f}" for n in numbers))
            print(lines[-1], flush=True)
    if options.csv:
        options.csv.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
