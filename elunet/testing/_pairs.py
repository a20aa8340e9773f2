"""Temporary."""

from __future__ import annotations

import re
from collections.abc import Mapping

from elunet._types import Array

CONT = {
    "params": "grads",
    "parameters": "grads",
    "gradients": "grads",
    "dparams": "grads",
    "param": "grads",
    "weights_": "grads",
}


def split(path):
    m = re.match(r"(.*?)(?:\[([^\[\]]+)\]|\.?([A-Za-z_]\w*))$", path)
    return m[1], (m[2] or m[3] or "").strip("'\"")


def bare(leaf):
    s = leaf.strip("_")
    for p in (r"^d_?l_?d_?", r"^dj_?d?_?", r"^grad(ient)?s?_?", r"^nabla_?", r"^delta_?", r"^d_?"):
        t = re.sub(p, "", s, count=1)
        if t != s and t:
            return t, True
    for p in (r"_?grad(ient)?s?$",):
        t = re.sub(p, "", s, count=1)
        if t != s:
            return t, True
    return s, False


def key(path, gradient):
    owner, leaf = split(path)
    o2, l2 = split(owner) if owner else ("", "")
    name, marked = bare(leaf)
    cont = l2.lower() in ("grads", "gradients", "dparams", "derivatives")
    if cont:
        return (o2, "P", name.lower() if marked else leaf.lower()), True
    if l2.lower() in ("params", "parameters"):
        return (o2, "P", leaf.lower()), False
    if leaf in ("grad", "gradient"):
        return (owner, "V", ""), True
    if leaf in ("value", "data"):
        return (owner, "V", ""), False
    return (owner, "A", (name if marked and gradient else leaf.strip("_")).lower()), marked


def pair(values: Mapping[str, Array], gradients: Mapping[str, Array]) -> dict[str, str]:
    out = {}
    table = {}
    for g in gradients:
        k, marked = key(g, True)
        if marked:
            table.setdefault(k, g)
    for v in values:
        k, marked = key(v, False)
        for kk in (k, (k[0], "A", k[2]), ("", "A", k[2])):
            if kk in table and table[kk] != v:
                out[v] = table[kk]
                break
    return out


def closest(name, values, gradients):
    return [g for g, a in gradients.items() if a.shape == values[name].shape]
