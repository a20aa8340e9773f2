"""Whether all libraries compute the same: parameters, logits, and logits after train steps.

Each builds each network of the table, without dropout, which no two libraries draw alike, and at a
small batch; from the same weights, so that the outputs have to agree. Differences are relative to
the largest logit. elunet's description is also held against `eln.models`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from _common import Row, print_table
from peers import PEERS, Peer
from works import WORKS, Work

STEPS = 3
ALLOWED = 1e-4
KEYS = ("elu11-train-32", "case-d", "case-b", "small-cnn-train", "lenet-train", "mlp-train-64")


def small(key: str, phase: str) -> Work:
    """Return a work with a batch of 8 and without dropout."""
    work = WORKS[key]
    network = work.network.without_dropout()
    return replace(work, batch=8, phase=phase, network=network)


def answers(peer: Peer) -> Row:
    """Be a child: return the parameters and logits of each network."""
    found: Row = {}
    for key in KEYS:
        for phase in ("inference", "train"):
            work = small(key, phase)
            if not peer.takes(work):
                continue
            built = peer.build(work, 2)
            logits = [built.predict().copy()]
            if phase == "train":
                for _ in range(STEPS):
                    built.step()
                logits.append(built.predict().copy())
            else:
                built.step()
            values = [array.tolist() for array in logits]
            found[f"{key} {phase}"] = {"parameters": built.parameters, "logits": values}
    return found


def check_models() -> None:
    """Hold elunet's networks against the ready-made ones."""
    from peers.ours import network

    import elunet as eln

    models = {
        "elu11-train-32": eln.models.elu11(),
        "case-d": eln.models.article_case("d"),
        "case-b": eln.models.article_case("b"),
        "small-cnn-train": eln.models.small_cnn(),
        "mlp-train-64": eln.models.mlp(inputs=784),
    }
    for key, model in models.items():
        ours = [repr(layer) for layer in network(WORKS[key].network)]
        theirs = [repr(layer) for layer in model if key[:3] != "mlp" or repr(layer) != "Flatten()"]
        if ours != theirs:
            raise SystemExit(f"{key}: expected {theirs}, got {ours}")


def main() -> None:
    """Ask each library in a process of its own, compare and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        stdout, sys.stdout = sys.stdout, sys.stderr
        (peer,) = (peer for peer in PEERS if peer.label == options.work)
        print(json.dumps(answers(peer)), file=stdout)
        return
    check_models()
    rows: list[Row] = []
    ours: Row = {}
    for peer in PEERS:
        if peer.variant == "after PyTorch":
            continue
        if any(find_spec(package) is None for package in peer.packages):
            print(f"{peer.label} is left out: needs {', '.join(peer.packages)}")
            continue
        command = [sys.executable, __file__, "--work", peer.label]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        theirs = json.loads(output)
        ours = ours or theirs
        for key, answer in theirs.items():
            rows.append({"library": peer.label, "work": key, **compare(answer, ours[key])})
    print_table(rows)
    bad = [row for row in rows if not row["same"]]
    if bad:
        raise SystemExit(f"{len(bad)} of {len(rows)} differ")


def compare(answer: Any, ours: Any) -> Row:
    """Return how far an answer is from elunet's, and elunet's from where it began."""
    import numpy as np

    row: Row = {"parameters": answer["parameters"]}
    same = answer["parameters"] == ours["parameters"]
    logits, expected = (np.array(values["logits"]) for values in (answer, ours))
    difference = [float(np.abs(a - b).max()) for a, b in zip(logits, expected, strict=True)]
    scale = float(np.abs(expected).max())
    row["logits_differ_by"] = difference[0] / scale
    row["after_steps"] = difference[1] / scale if len(difference) > 1 else None
    moved = float(np.abs(expected[-1] - expected[0]).max()) / scale
    row["moved_by"] = moved if len(difference) > 1 else None
    row["same"] = same and max(difference) < ALLOWED * scale
    return row


if __name__ == "__main__":
    main()
