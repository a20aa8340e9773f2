"""Compare learning rules on a small network, with a fair choice of each one's learning rate.

    python examples/compare_rules.py
    python examples/compare_rules.py --net mlp --data path/to/cifar10 --limit 6000 --seeds 5
    python examples/compare_rules.py --help

It is the command ``elunet compare``, in `elunet/commands/compare.py`.
"""

import sys

from elunet.commands import compare

if __name__ == "__main__":
    sys.exit(compare.main(command=("python", "examples/compare_rules.py")))
