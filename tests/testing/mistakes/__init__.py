"""Mistakes in hand-written gradients, from public threads, each beside a correct twin.

Every mistake is written again, in the design in which its author wrote the program. The flag
`wrong` chooses between the mistake and its twin, so that both share all other lines.
"""

from testing.mistakes import (
    activations,
    convolution,
    embedding,
    linear,
    losses,
    networks,
    normalization,
    optimizers,
    recurrent,
    scripts,
)
from testing.mistakes.mistake import Correct, Mistake

KINDS = {
    "linear": linear.LINEAR,
    "activations": activations.ACTIVATIONS,
    "convolution": convolution.CONVOLUTION,
    "normalization": normalization.NORMALIZATION,
    "recurrent": recurrent.RECURRENT,
    "embedding": embedding.EMBEDDING,
    "losses": losses.LOSSES,
    "networks": [*networks.NETWORKS, *scripts.SCRIPTS],
    "optimizers": optimizers.OPTIMIZERS,
}
MISTAKES = [mistake for kind in KINDS.values() for mistake in kind]
CORRECT = [*normalization.CORRECT, *activations.CORRECT, *optimizers.CORRECT]

__all__ = ["CORRECT", "KINDS", "MISTAKES", "Correct", "Mistake"]
