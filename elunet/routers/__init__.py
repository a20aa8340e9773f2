"""Learning rules: one file each, over one shared walk."""

from elunet.routers import memory
from elunet.routers.backprop import Backprop
from elunet.routers.base import Path, Router
from elunet.routers.difference_target_propagation import DifferenceTargetPropagation
from elunet.routers.dilated_backprop import DilatedBackprop
from elunet.routers.direct_feedback_alignment import DirectFeedbackAlignment
from elunet.routers.direct_kolen_pollack import DirectKolenPollack
from elunet.routers.direct_random_target_projection import DirectRandomTargetProjection
from elunet.routers.equilibrium_propagation import EquilibriumPropagation
from elunet.routers.feedback_alignment import FeedbackAlignment
from elunet.routers.forward_forward import ForwardForward
from elunet.routers.forward_gradient import ForwardGradient
from elunet.routers.gradient_noise import GradientNoise
from elunet.routers.graph import Graph
from elunet.routers.kolen_pollack import KolenPollack
from elunet.routers.local_loss import LocalLoss
from elunet.routers.mixed import Mixed
from elunet.routers.node_perturbation import NodePerturbation
from elunet.routers.norm_matched import NormMatched
from elunet.routers.pepita import PEPITA
from elunet.routers.predictive_coding import PredictiveCoding
from elunet.routers.random_router import RandomRouter
from elunet.routers.sign_symmetry import SignSymmetry
from elunet.routers.three_factor_hebbian import ThreeFactorHebbian
from elunet.routers.weight_mirror import WeightMirror
from elunet.routers.weight_perturbation import WeightPerturbation

__all__ = [
    "PEPITA",
    "Backprop",
    "DifferenceTargetPropagation",
    "DilatedBackprop",
    "DirectFeedbackAlignment",
    "DirectKolenPollack",
    "DirectRandomTargetProjection",
    "EquilibriumPropagation",
    "FeedbackAlignment",
    "ForwardForward",
    "ForwardGradient",
    "GradientNoise",
    "Graph",
    "KolenPollack",
    "LocalLoss",
    "Mixed",
    "NodePerturbation",
    "NormMatched",
    "Path",
    "PredictiveCoding",
    "RandomRouter",
    "Router",
    "SignSymmetry",
    "ThreeFactorHebbian",
    "WeightMirror",
    "WeightPerturbation",
    "memory",
]
