"""What a train step costs without numba: processor time of compiled and of plain kernels.

    python benchmarks/plain_kernels.py

Each kind of kernels runs in a process of its own, in turns, on one thread. The least of the steps'
times counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np

import elunet as eln

NETWORKS = {
    "mlp, batch 100": (lambda: eln.models.mlp(seed=0), (100, 32, 32, 3), 30),
    "lenet5, batch 100": (lambda: eln.models.lenet5(seed=0), (100, 28, 28, 1), 12),
    "small_cnn, batch 100": (lambda: eln.models.small_cnn(seed=0), (100, 32, 32, 3), 12),
    "elu11, a quarter of the units, batch 50": (
        lambda: eln.models.elu11(widths=[w // 4 for w in eln.models.elu.ELU11_WIDTHS], seed=0),
        (50, 32, 32, 3),
        5,
    ),
}


def step_ms(net: eln.Network, shape: tuple[int, ...], steps: int) -> float:
    """Return the least processor time of a step, in ms."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=shape).astype(np.float32), rng.integers(0, 10, shape[0])
    loss, optimizer = eln.losses.SoftmaxCrossEntropy(), eln.optim.SGD(0.01, momentum=0.9)
    times = []
    for _ in range(steps):
        begin = time.process_time()
        _, dy = loss(net.forward(x, train=True), y)
        net.backward(dy)
        optimizer.step(net)
        times.append(1000 * (time.process_time() - begin))
    return min(times)


def main() -> None:
    """Print a row for each network."""
    if len(sys.argv) > 1:
        eln.set_num_threads(1)
        make, shape, steps = NETWORKS[sys.argv[1]]
        print(step_ms(make(), shape, steps))
        return
    print("| network | compiled, ms | plain, ms | ratio |\n|---|---|---|---|")
    for name in NETWORKS:
        best = {"compiled": np.inf, "plain": np.inf}
        for kernels in (*best, *best):
            command = [sys.executable, "-W", "ignore", __file__, name]
            told = {**os.environ, "ELUNET_KERNELS": kernels}
            out = subprocess.run(command, env=told, check=True, capture_output=True, text=True)
            best[kernels] = min(best[kernels], float(out.stdout))
        compiled, plain = best.values()
        print(f"| {name} | {compiled:.1f} | {plain:.1f} | {plain / compiled:.1f} |")


if __name__ == "__main__":
    main()
