"""The main job: ELU-11, the ELU paper's 11-layer network, on a CPU.

    python examples/cifar_elu11.py
    python examples/cifar_elu11.py --data download --epochs 15 --out runs/cifar
    python examples/cifar_elu11.py --help

It is the command ``elunet train``: `elunet/commands/train.py` reads the options, loads the data and
says what happens; the network and how it is trained are in `elunet/experiments/recipes.py`.
"""

import sys

from elunet.commands import train

if __name__ == "__main__":
    sys.exit(train.main(command=("python", "examples/cifar_elu11.py")))
