"""Exercise 4: the optimizer Lion."""

import numpy as np


class Lion:
    """Steps of one size in the direction of an average's sign."""

    def __init__(self, lr=1e-4, beta1=0.9, beta2=0.99):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2
        self.m = {}

    def step(self, net):
        """Update every parameter of the network in place."""
        gradients = net.gradients()
        for name, w in net.parameters().items():
            g, m = gradients[name], self.m.get(name, 0.0)
            w -= self.lr * np.sign(self.beta1 * m + (1 - self.beta1) * g)
            self.m[name] = self.beta2 * m + (1 - self.beta2) * g
