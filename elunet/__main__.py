"""``python -m elunet`` is the command ``elunet``."""

import sys

from elunet.commands import main

if __name__ == "__main__":
    sys.exit(main(command=("python", "-m", "elunet")))
