"""CIFAR-10's official files in small: pickles as Python 2 wrote them, and archives."""

from __future__ import annotations

import io
import struct
import tarfile


def short(text):
    return b"U" + bytes([len(text)]) + text


def batch_pickle(planes, labels, array=None):
    """Write a batch the way Python 2 did: protocol 2 with byte strings and memo numbers."""
    out = [b"\x80\x02}q\x01(", short(b"batch_label"), b"q\x02", short(b"training batch"), b"q\x03"]
    out += [short(b"labels"), b"q\x04]q\x05("]
    out += [b"K" + bytes([label]) for label in labels]
    out += [b"e", short(b"data"), b"q\x06"]
    if array is None:
        shape = b"M" + struct.pack("<H", len(planes)) + b"M\x00\x0c\x86q\x0d"
        array = (
            b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85q\x09"
            b"U\x01bq\x0a\x87q\x0bRq\x0c(K\x01" + shape + b"cnumpy\ndtype\nq\x0eU\x02u1q\x0f"
            b"K\x00K\x01\x87q\x10Rq\x11(K\x03U\x01|q\x12NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
            b"tq\x13b\x89T" + struct.pack("<i", planes.size) + planes.tobytes() + b"tq\x14b"
        )
    out += [array, short(b"filenames"), b"q\x15]q\x16("]
    for i in range(len(labels)):
        out += [short(b"image_%d.png" % i), b"r" + struct.pack("<I", 23 + i)]
    return b"".join(out) + b"eu."


def entry(name, content=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def archive_bytes(entries, mode="w:gz"):
    options = {"compresslevel": 1} if mode == "w:gz" else {}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, **options) as tar:
        for info, content in entries:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()
