"""Exercise 4: the optimizer Lion."""


class Lion:
    """Steps of one size in the direction of an average's sign."""

    def __init__(self, lr=1e-4, beta1=0.9, beta2=0.99):
        self.lr, self.beta1, self.beta2 = lr, beta1, beta2

    def step(self, net):
        """Update every parameter of the network in place."""
        raise NotImplementedError
