"""Mistakes in hand-written gradients, from public threads, each beside a correct twin.

Every mistake is written anew, in the design in which its author wrote the program. The flag `wrong`
chooses between the mistake and its twin, so that both share all other lines.
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
)
from testing.mistakes.mistake import Correct, Mistake

MISTAKES = [
    *linear.LINEAR,
    *activations.ACTIVATIONS,
    *convolution.CONVOLUTION,
    *normalization.NORMALIZATION,
    *recurrent.RECURRENT,
    *embedding.EMBEDDING,
    *losses.LOSSES,
    *networks.NETWORKS,
    *optimizers.OPTIMIZERS,
]
CORRECT = [*normalization.CORRECT, *activations.CORRECT, *optimizers.CORRECT]

__all__ = ["CORRECT", "MISTAKES", "Correct", "Mistake"]
