"""A custom learning rule: the error goes back through the largest tenth of the weights."""

import numpy as np

import elunet as eln
from elunet.layers import ELU, Conv2D, Flatten, Linear, MaxPool2D


class TopWeights(eln.routers.Router):
    """Send ``delta B^T``, with B = W where abs(W) is among the largest tenth, else 0."""

    def send(self, layer, dy):
        """Return the signal that a weighted layer sends back."""
        W = layer.params["W"]
        large = np.abs(W) >= np.quantile(np.abs(W), 0.9)
        return layer.backward_input(dy, weight=np.where(large, W, 0))


def main():
    """Train with the rule and print the angle to backprop's gradient of the first weight."""
    x, y = eln.data.make_shapes(1600, seed=0)
    x = eln.data.standardize(x)
    parts = [Conv2D(3, 16, 5, stride=2), ELU(), MaxPool2D(), Conv2D(16, 32, 3), ELU()]
    net = eln.Sequential([*parts, MaxPool2D(), Flatten(), Linear(512, 10)], seed=0)
    loss, adam, routers = eln.losses.SoftmaxCrossEntropy(), eln.optim.Adam(3e-3), eln.routers
    for epoch in range(1, 7):
        for x_batch, y_batch in eln.data.Batches(x, y, batch_size=50, seed=epoch):
            value, dy = loss(net.forward(x_batch, train=True), y_batch)
            g = []
            for router in (routers.Backprop(), TopWeights()):  # the optimizer takes the last one's
                router.backward(net, dy)
                g.append(net["conv1"].grads["W"].ravel() / np.linalg.norm(net["conv1"].grads["W"]))
            adam.step(net)
        print(f"epoch {epoch}: loss {value:.2f}, {np.degrees(np.arccos(g[0] @ g[1])):.0f} degrees")


if __name__ == "__main__":
    main()
