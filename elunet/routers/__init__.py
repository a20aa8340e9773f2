"""Learning rules: one file each, over one shared walk."""

from elunet.routers.backprop import Backprop
from elunet.routers.base import Path, Router
from elunet.routers.dilated_backprop import DilatedBackprop
from elunet.routers.direct_feedback_alignment import DirectFeedbackAlignment
from elunet.routers.direct_kolen_pollack import DirectKolenPollack
from elunet.routers.direct_random_target_projection import DirectRandomTargetProjection
from elunet.routers.feedback_alignment import FeedbackAlignment
from elunet.routers.gradient_noise import GradientNoise
from elunet.routers.kolen_pollack import KolenPollack
from elunet.routers.local_loss import LocalLoss
from elunet.routers.mixed import Mixed
from elunet.routers.norm_matched import NormMatched
from elunet.routers.random_router import RandomRouter
from elunet.routers.sign_symmetry import SignSymmetry
from elunet.routers.three_factor_hebbian import ThreeFactorHebbian
from elunet.routers.weight_mirror import WeightMirror

__all__ = [
    "Backprop",
    "DilatedBackprop",
    "DirectFeedbackAlignment",
    "DirectKolenPollack",
    "DirectRandomTargetProjection",
    "FeedbackAlignment",
    "GradientNoise",
    "KolenPollack",
    "LocalLoss",
    "Mixed",
    "NormMatched",
    "Path",
    "RandomRouter",
    "Router",
    "SignSymmetry",
    "ThreeFactorHebbian",
    "WeightMirror",
]
