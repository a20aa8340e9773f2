"""elunet: the network of the description, and the loop's four calls."""

from __future__ import annotations

from typing import Any

from works import Network, Work, data, feedback, weights

from peers import Built


def network(description: Network) -> Any:
    """Return the described network, with everybody's weights."""
    import elunet as eln

    layers: list[eln.layers.Layer] = []
    arrays = iter(weights(description))
    given: list[Any] = []  # as Keras gives them
    for part, before, _ in description.walk():
        match part:
            case ("conv", units, size, padding):
                layers.append(
                    eln.layers.Conv2D(
                        before[-1], units, size, padding=padding, bias=description.bias
                    )
                )
            case ("dense", units):
                layers.append(eln.layers.Linear(before[0], units, bias=description.bias))
            case ("dropout", rate):
                layers.append(eln.layers.Dropout(rate))
            case ("batch_norm",):
                norm = eln.layers.BatchNorm(before[-1])
                layers.append(norm)
                given += [*norm.params.values(), *norm.state.values()]
            case (kind,):
                plain = {
                    "elu": eln.layers.ELU,
                    "max_pool": eln.layers.MaxPool2D,
                    "mean_pool": eln.layers.MeanPool2D,
                    "flatten": eln.layers.Flatten,
                    "global_mean": eln.layers.GlobalMeanPool2D,
                }
                layers.append(plain[kind]())
        if part[0] in ("conv", "dense"):
            given += [next(arrays) for _ in range(1 + description.bias)]
    net = eln.Sequential(layers, seed=0)
    eln.exchange.from_keras(net, given)
    return net


def training(net: Any, description: Network) -> tuple[Any, Any, Any]:
    """Return what a train step needs besides the network: loss, router and optimizer."""
    import elunet as eln

    router: eln.routers.Router = eln.routers.Backprop()
    if description.aligned:
        names = [name for name in net.names if net[name].weighted]
        B = dict(zip(names, feedback(description), strict=True))
        router = eln.routers.FeedbackAlignment(B=B)
    optimizer: eln.optim.Optimizer = (
        eln.optim.SGD(description.lr, momentum=0.9, l2=description.l2)
        if description.optimizer == "sgd"
        else eln.optim.Adam(description.lr, l2=description.l2)
    )
    return eln.losses.SoftmaxCrossEntropy(), router, optimizer


def build(work: Work, threads: int, variant: str) -> Built:
    """Return the work's network in elunet.

    "after PyTorch" is for a process in which PyTorch has just run on all threads, which continue
    spinning for a while: what another library's pool does to elunet.
    """
    import elunet as eln

    eln.set_num_threads(threads)
    net = network(work.network)
    loss, router, optimizer = training(net, work.network)
    x, y = data(work)

    def train() -> None:
        logits = net.forward(x, train=True)
        _, dy = loss(logits, y)
        router.backward(net, dy, release=True)
        optimizer.step(net, router)

    def infer() -> None:
        net.forward(x)

    step = train if work.phase == "train" else infer
    if variant == "after PyTorch":
        import torch

        torch.set_num_threads(threads)
        numbers = torch.ones(4_000_000)

        def after() -> None:
            numbers.exp_().clamp_(0, 1)
            train()

        step = after
    parameters = sum(value.size for value in net.parameters().values())
    return Built(step, lambda: net.forward(x), parameters)
