"""Wrong optimizers."""

from __future__ import annotations

from typing import Any

import numpy as np

from elunet._types import Array
from elunet.optim import SGD, AdaGrad, Adam, AdamW, Lion, NAdam, Parametrized, PerLayer, RMSProp
from elunet.teaching.mutants._mutant import Example
from elunet.testing import updates

NAMES = ("first.W", "first.b", "second.W")


def _falling(step: float) -> float:
    return 0.1 / (1 + step)


def _falling_update(w: Array, g: Array, state: dict[str, Any], t: int) -> Array:
    return np.asarray(w - _falling(t - 1) * g)


def _example(
    update: updates.Update,
    *arguments: Any,
    bias_update: updates.Update | None = None,
    **keywords: Any,
) -> Example:
    """Return an example with one update rule for weights and one for the bias."""

    def given() -> tuple[Any, ...]:
        return ({name: bias_update or update if name[-1] == "b" else update for name in NAMES},)

    return Example(arguments, keywords, given)


class _PerLayerExample(Example):
    """Parts are made new each time, because they keep state."""

    def make(self, kind: type) -> Any:
        return kind({"*.W": Adam(1e-2), "*.b": SGD(0.1)})

    def call(self, kind: type) -> str:
        return f'{kind.__name__}({{"*.W": Adam(0.01), "*.b": SGD(0.1)}})'


def _per_layer_example() -> Example:
    example = _example(updates.adam(1e-2), bias_update=updates.sgd(0.1))
    return _PerLayerExample((), {}, example.given)


DESCENT = _example(updates.sgd(0.1), 0.1)
MOMENTUM = _example(updates.sgd(0.1, 0.9), 0.1, momentum=0.9)
ADAM = _example(updates.adam(1e-2), 1e-2)


class Uphill(SGD):
    """The velocity collects -g, and is then subtracted: the two signs cancel.

    In training: The loss rises from the first step.

    Caught by check_optimizer: step 1 goes uphill.
    """

    example = MOMENTUM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        super().update(w, -g, state, lr)


class ForgetsVelocity(SGD):
    """The velocity is computed and used, but not stored.

    In training: Momentum does nothing. The rates that are usual with a momentum of 0.9 make steps
    a tenth as long as meant.

    Caught by check_optimizer: step 1 is right, step 2 is not.
    """

    example = MOMENTUM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        velocity = self.momentum * state["velocity"] + g
        w -= lr * velocity


class LateNesterov(SGD):
    """Nesterov's step looks ahead with the velocity from before this gradient.

    In training: This is exactly the usual momentum, w - lr (g + mu v_old). It learns, but the
    look-ahead has no effect.

    Caught by check_optimizer: step 1 is too short.
    """

    example = _example(updates.sgd(0.1, 0.9, nesterov=True), 0.1, momentum=0.9, nesterov=True)

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        velocity = state["velocity"]
        w -= lr * (g + self.momentum * velocity)
        velocity *= self.momentum
        velocity += g


class StaleVelocity(SGD):
    """The step is taken with the velocity from before this gradient.

    In training: Everything comes one step late; the first step does nothing. With a large rate
    the loss swings.

    Caught by check_optimizer: step 1 changes nothing, the update uses last step's velocity.
    """

    example = MOMENTUM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        w -= lr * state["velocity"]
        state["velocity"][...] = self.momentum * state["velocity"] + g


class FirstVelocityUnscaled(SGD):
    """The first velocity is the gradient itself, without the learning rate.

    In training: The first step is 1 / lr times too long, and continues for some ten steps with the
    momentum. The loss jumps, then falls from there.

    Caught by check_optimizer: step 1 is 10 x the update rule's.
    """

    example = MOMENTUM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        first = not state["velocity"].any()
        super().update(w, g / lr if first else g, state, lr)


class SharedState(SGD):
    """All parameters of one shape share one velocity.

    In training: Each weight also moves by the gradients of other layers. The loss falls more
    slowly. In networks where all shapes differ, nothing.

    Caught by check_optimizer: the first parameter is right, the second is not.
    """

    example = MOMENTUM

    def _state_for(self, name: str, w: Array) -> dict[str, Array]:
        return super()._state_for(str(w.shape), w)


class DecayedBiases(SGD):
    """Weight decay applies to biases, gamma and beta as well.

    In training: Biases are held near 0, and BatchNorm's gamma with them; with strong decay the
    network cannot shift its activations. Often hard to see.

    Caught by check_optimizer: weights are right, the bias is not, if there is one to look at.
    """

    example = _example(updates.sgd(0.1, l2=0.5), 0.1, l2=0.5, bias_update=updates.sgd(0.1))

    def step(self, net: Parametrized, router: Parametrized | None = None) -> None:
        gradients = net.gradients()
        for name, w in net.parameters().items():
            g = gradients[name] + self.l2 * w
            self.update(w, g, self._state_for(name, w), self.learning_rate())


class ScalesGradientInPlace(SGD):
    """The step lr * g is computed in the gradient's own memory.

    In training: Nothing. Gradients that are read afterwards, for a norm or an angle, are lr
    times too small.

    Caught by check_optimizer: step changed the gradient in place.
    """

    example = DESCENT

    def step(self, net: Parametrized, router: Parametrized | None = None) -> None:
        gradients = net.gradients()
        for name, w in net.parameters().items():
            g = gradients[name]
            g *= self.learning_rate()
            w -= g


class KeepsTheGradient(SGD):
    """The first velocity is the gradient array itself, not a copy; the next backward pass fills it.

    In training: The second step counts its gradient almost twice, and the first one not at all.
    One step in the whole run is wrong; results differ from others' from there on.

    Caught by check_optimizer: step 1 is right, step 2 is not.
    """

    example = MOMENTUM

    def step(self, net: Parametrized, router: Parametrized | None = None) -> None:
        gradients = net.gradients()
        for name, w in net.parameters().items():
            g = gradients[name]
            old = self.buffers.get(name)
            velocity = g if old is None else self.momentum * old["velocity"] + g
            self.buffers[name] = {"velocity": velocity}
            w -= self.learning_rate() * velocity


class PutsNewArrays(SGD):
    """The new parameters are put into the dictionary instead of written into the arrays.

    In training: The dictionary is the caller's copy, so no layer ever changes: the loss stays
    where it was.

    Caught by check_optimizer: no parameter changed.
    """

    example = DESCENT

    def step(self, net: Parametrized, router: Parametrized | None = None) -> None:
        parameters, gradients = dict(net.parameters()), net.gradients()
        for name, w in parameters.items():
            parameters[name] = w - self.learning_rate() * gradients[name]


class FirstRateForever(SGD):
    """A schedule is asked for its rate once, before the first step.

    In training: The rate never falls. The loss falls to a plateau and stays there, noisy.

    Caught by check_optimizer: step 1 is right, step 2 is too long.
    """

    example = _example(_falling_update, _falling)
    first: float | None = None

    def learning_rate(self) -> float:
        if self.first is None:
            self.first = super().learning_rate()
        return self.first


class SquaredDecay(SGD):
    """The l1 penalty adds l1 * w instead of l1 * sign(w).

    In training: Small weights are hardly pushed at all, so none becomes 0: the result is a weak
    l2 penalty, and a dense network.

    Caught by check_optimizer: weights are wrong, the bias is right.
    """

    example = _example(updates.sgd(0.1, l1=0.5), 0.1, l1=0.5, bias_update=updates.sgd(0.1))

    def _penalize(self, w: Array, g: Array, lr: float) -> None:
        g += self.l1 * w


class FirstStepCorrection(Adam):
    """The bias correction divides by 1 - beta instead of 1 - beta^t, in every step.

    In training: The first step is right. Around the tenth, steps are twice as long as they should
    be, after some thousand a third as long. The loss falls, and Adam seems to need another rate.

    Caught by check_optimizer: step 1 is right, step 2 is 1.344 x the update rule's.
    """

    example = ADAM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        steps, self.steps = self.steps, 0  # so that t is 1
        super().update(w, g, state, lr)
        self.steps = steps


class CountsParameters(Adam):
    """The step's number grows with each parameter instead of each step.

    In training: Each parameter has another bias correction, and it ends too early. The first
    steps of later layers are too short, or too long; after some thousand it hardly shows.

    Caught by check_optimizer: the first parameter is right, the second is not.
    """

    example = ADAM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        super().update(w, g, state, lr)
        self.steps += 1


class CorrectedInPlace(Adam):
    """The corrected averages are kept in place of the averages, and corrected again.

    In training: The averages grow from step to step at first, and forget more slowly than meant.
    The loss falls, in larger swings.

    Caught by check_optimizer: step 1 is right, step 2 is not.
    """

    example = ADAM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        m, v, t, beta1 = state["m"], state["v"], self.steps + 1, self.now("beta1")
        m[...] = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
        v[...] = (self.beta2 * v + (1 - self.beta2) * g**2) / (1 - self.beta2**t)
        w -= lr * m / (np.sqrt(v) + self.eps)


class EpsInsideRoot(Adam):
    """Eps is inside the square root.

    In training: With the usual 1e-8 it acts like 1e-4: parameters with gradients below that (deep
    layers, rare features) hardly move.

    Caught by check_optimizer: off most where the gradient is small.
    """

    example = ADAM

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        m, v, t, beta1 = state["m"], state["v"], self.steps + 1, self.now("beta1")
        m[...] = beta1 * m + (1 - beta1) * g
        v[...] = self.beta2 * v + (1 - self.beta2) * g**2
        root = np.sqrt(v / (1 - self.beta2**t) + self.eps)
        w -= lr * m / (1 - beta1**t) / root


class DecayThroughMoments(Adam):
    """With decoupled=True it still adds the penalty to the gradient.

    In training: The decay is divided by the gradient's size like the gradient: weights with
    large gradients are hardly decayed. AdamW's better test accuracy is lost.

    Caught by check_optimizer: weights are wrong, the bias is right.
    """

    example = _example(
        updates.adam(1e-2, l2=0.5, decoupled=True),
        1e-2,
        l2=0.5,
        decoupled=True,
        bias_update=updates.adam(1e-2),
    )

    def _penalize(self, w: Array, g: Array, lr: float) -> None:
        g += self.l2 * w


class SquareOfMean(RMSProp):
    """The gradient is averaged and then squared, instead of squared and then averaged.

    In training: Where gradients change sign their average is near 0, and the steps become huge:
    the loss explodes as soon as it is small.

    Caught by check_optimizer: step 1 is too long.
    """

    example = _example(updates.rmsprop(1e-2), 1e-2)

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        mean = state["square"]
        mean *= self.rho
        mean += (1 - self.rho) * g
        w -= lr * g / (np.sqrt(mean**2) + self.eps)


class ForgetsOldSquares(AdaGrad):
    """Only the last gradient's square is kept, instead of the sum of all.

    In training: Every step has the size of the learning rate, which never falls: the loss jumps
    about near its minimum.

    Caught by check_optimizer: step 1 is right, step 2 is not.
    """

    example = _example(updates.adagrad(1e-2, eps=1e-10), 1e-2)

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        state["square"][...] = g**2
        w -= lr * g / (np.sqrt(state["square"]) + self.eps)


class DecayWithoutRate(AdamW):
    """The decay is not multiplied by the learning rate.

    In training: Weights shrink a thousand times too fast, to nothing within an epoch.

    Caught by check_optimizer: step 1 is wrong, by a multiple of the weights.
    """

    example = _example(updates.adamw(1e-2), 1e-2)

    def _penalize(self, w: Array, g: Array, lr: float) -> None:
        w -= self.l2 * w


class NoLookAhead(NAdam):
    """The average of the gradients counts with this step's momentum instead of the next one's.

    In training: Hard to see; steps are a little too short at first.

    Caught by check_optimizer: step 1 is too short.
    """

    example = _example(updates.nadam(1e-2, momentum_decay=4e-3), 1e-2)

    def _shares(self) -> tuple[float, float]:
        t = self.steps + 1
        product, mu = self._product_until(t), self._mu(t)
        return (1 - mu) / (1 - product), mu / (1 - product)


class SignOfTheAverage(Lion):
    """The step follows the new average instead of a mix of the old one and the gradient.

    In training: It reacts to a change of the gradient ten times later, and overshoots.

    Caught by check_optimizer: step 1 is right, a later one is not.
    """

    example = _example(updates.lion(1e-2), 1e-2)

    def update(self, w: Array, g: Array, state: dict[str, Array], lr: float) -> None:
        m = state["m"]
        m *= self.beta2
        m += (1 - self.beta2) * g
        w -= lr * np.sign(m)


class ForgetsTheStep(PerLayer):
    """The parts share the state, but not the step's number.

    In training: For the Adam inside, every step is the first. Its bias correction never ends:
    steps are twice too long at first and a third of their length later. Schedules stand still.

    Caught by check_optimizer: step 1 is right, step 2 is not.
    """

    example = _per_layer_example()

    def _lend(self) -> None:
        for part in self.optimizers.values():
            part.buffers, part.epoch = self.buffers, self.epoch
