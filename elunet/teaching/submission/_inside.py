"""The submission's process: it imports the file and answers the grader's requests.

The first process only waits for the end, and then ends all that is below it. The second one imports
NumPy and waits. For each test the grader asks it for a fresh copy of itself (a fork), so no test
knows what another one did, and one that hangs or crashes takes nothing else with it. In the copy
the guard is armed before the submission's first line runs.

What is here is known to the submission, and may be changed by it. It holds nothing worth knowing:
no expected values, no tests, no verdict. All it can do with it is to send other numbers.

Everything comes through the first connection, as text; no file of elunet is read, and none needs to
be readable here. It imports nothing of elunet.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import json
import os
import resource
import signal
import socket
import struct
import sys
import types
from typing import Any

NEEDED = ("random", "linalg", "fft", "ma", "polynomial", "lib.stride_tricks", "testing")
"""Parts of NumPy that are imported before the guard is armed."""
TAKEN_AWAY = ("_posixsubprocess", "subprocess", "multiprocessing", "ctypes", "_ctypes")
"""Modules that NumPy has imported, and that the guard does not let a submission import."""


SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of Linux: orphans below a process become its children."""


def main(control: socket.socket) -> None:
    """Start the process that makes copies, and end everything when the grader says so."""
    if os.fork() == 0:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        _make_copies(control)
    control.close()
    with contextlib.suppress(Exception):
        __import__("ctypes").CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    while os.read(0, 1):
        pass
    while _end_children():
        pass


def _end_children() -> bool:
    """End the children, and those that become children by that; return whether there were any."""
    own = os.getpid()
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{int(entry)}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
            if parent == own:
                os.kill(int(entry), signal.SIGKILL)
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return False
    return True


def _make_copies(control: socket.socket) -> None:
    """Import NumPy, and fork for each request; never returns."""
    settings = json.loads(_read(control, struct.unpack("<I", _read(control, 4))[0]))
    settings["stdlib"] = list(sys.path)  # isolated and without site-packages: nothing else is in it
    sys.path.append(settings["packages"])
    __import__("numpy")
    for name in NEEDED:
        __import__(f"numpy.{name}")
    sys.path.pop()
    for name in TAKEN_AWAY:
        sys.modules.pop(name, None)
    border = _module("_border", settings["border"])
    provided = _provide(settings["elunet"])
    control.sendall(b"r")
    while True:
        data, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not data:
            os._exit(0)
        copy = os.fork()
        if copy == 0:
            control.close()
            _serve(border, socket.socket(fileno=handles[0]), settings, provided)
            os._exit(0)
        os.close(handles[0])
        control.sendall(struct.pack("<I", copy))
        while True:  # the copies that have ended
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    break
            except ChildProcessError:
                break


def _read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            os._exit(0)
        found += part
    return found


def _module(name: str, source: str, register: bool = False, **names: Any) -> types.ModuleType:
    """Make a module from its source."""
    module = types.ModuleType(name)
    module.__dict__.update(names)
    if register:
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
    exec(compile(source, f"<{name}>", "exec"), module.__dict__)
    return module


def _provide(sources: dict[str, str]) -> list[str]:
    """Make the modules of elunet that the exercise may use."""
    for name, source in sources.items():
        _module(name, source, register=True, __path__=[])
    if "elunet.layers.base" in sys.modules:
        layers: Any = sys.modules["elunet.layers"]
        layers.Layer = sys.modules["elunet.layers.base"].Layer
    return list(sources)


def _serve(border: Any, connection: socket.socket, settings: Any, provided: list[str]) -> None:
    """Import the submission and answer requests until the grader ends."""
    os.setsid()
    for name, size in settings["limits"].items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        size = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(kind, (size, size))
    folder = settings["folder"]
    os.chdir(folder)
    sys.path.insert(0, folder)
    sys.argv[:] = [settings["module"]]
    sys.dont_write_bytecode = True
    own: dict[str, Any] = {"__builtins__": dict(vars(builtins)), "__name__": "guard"}
    exec(compile(settings["guard"], "<guard>", "exec"), own)
    write, leave, handle = os.write, os._exit, connection.fileno()
    pack, encode, size_of = struct.pack, str.encode, len
    before, after = b'{"message": {"ended": "', b'"}, "blocks": [], "dead": []}'
    in_hex, replace = bytes.hex, "replace"

    def end(reason: str) -> None:
        # Made by hand: the JSON module is Python code, which a submission may replace.
        head = before + encode(in_hex(encode(reason, "utf-8", replace))) + after
        write(handle, pack("<II", size_of(head), 0) + head)
        leave(3)

    readable, packages = settings["stdlib"], [settings["numpy"]]
    own["arm"](own["make_guard"](end, os.getcwd, readable, packages, folder, provided))
    own.clear()
    desk = _desk(border)(connection, settings["module"])
    desk.work()


def _desk(border: Any) -> Any:
    """Return the class that answers; it is made here because its base came as text."""
    import numpy as np

    class Net:
        """A network as an optimizer sees it."""

        def __init__(self, parameters: Any, gradients: Any) -> None:
            self._parameters, self._gradients = parameters, gradients

        def parameters(self) -> Any:
            """Return the live arrays by name."""
            return dict(self._parameters)

        def gradients(self) -> Any:
            """Return their gradients by the same names."""
            return dict(self._gradients)

    class Given:
        """A layer in the grader's process, where its passes are run."""

        def forward(self, x: Any, train: bool = False) -> Any:
            """Return the layer's output."""
            return links[id(self)].call(self, "forward", (x,), {"train": train})

        def backward(self, dy: Any) -> Any:
            """Return dx, and fill grads."""
            return links[id(self)].call(self, "backward", (dy,), {})

        def __repr__(self) -> str:
            return f"{type(self).__name__}()"

    links: dict[int, Any] = {}

    class Caller(border.Border):  # type: ignore[misc] # it came as text
        """The side of a checker: it calls the layer that it was given."""

        def call(self, given: Any, method: str, arguments: Any, named: Any) -> Any:
            state = {name: value for name, value in vars(given).items() if name in visible}
            message = {
                "op": "call",
                "method": method,
                "arguments": self.encode(tuple(arguments)),
                "named": self.encode(named),
                "state": self.encode(state),
            }
            self.send(message)
            reply = self.receive()
            self.decode(reply["state"], vars(given))
            if "raised" in reply:
                kind = getattr(builtins, reply["raised"]["kind"])
                raise kind(reply["raised"]["text"])
            return self.decode(reply["result"])

    visible = ("params", "grads", "rng")

    class Desk(border.Border):  # type: ignore[misc]
        """The side of the submission: it runs what the grader calls."""

        def __init__(self, connection: socket.socket, module: str) -> None:
            super().__init__(connection, calls=False)
            self.name = module
            self.module: Any = None
            self.objects: list[Any] = []
            self.numbers: dict[int, int] = {}
            self.told: set[int] = set()

        def work(self) -> None:
            """Answer requests."""
            while True:
                try:
                    request = self.receive()
                except border.ClosedError:
                    os._exit(0)
                reply: dict[str, Any] = {}
                target = None
                try:
                    if self.module is None:
                        self.module = __import__(self.name)
                    if request["op"] == "check":
                        self.check(request)
                    elif request["op"] == "describe":
                        reply["result"] = describe(self.module, request["name"])
                    elif request["op"] == "make":
                        made = getattr(self.module, request["name"])
                        result = made(
                            *self.decode(request["arguments"]), **self.decode(request["named"])
                        )
                        reply["result"] = self.encode(result)
                    else:
                        target = self.decode(request["target"])
                        arguments = self.decode(request["arguments"])
                        named = self.decode(request["named"])
                        result = getattr(target, request["method"])(*arguments, **named)
                        reply["result"] = self.encode(result)
                except border.ClosedError:
                    os._exit(0)
                except BaseException as error:
                    reply = {"raised": raised(error)}
                if target is not None:
                    self.told.clear()
                    reply["state"] = self.encode(target)
                self.told.clear()
                self.send(reply)

        def check(self, request: Any) -> None:
            """Let the submission's checker judge a layer; its verdict ends the process."""
            function = getattr(self.module, request["function"])
            caller = Caller(self.connection, calls=True)
            self.send({"ready": True})
            start = caller.receive()
            kind = type(start["name"], (Given,), {"__module__": start["module"]})
            layer = kind()
            links[id(layer)] = caller
            caller.decode(start["state"], vars(layer))
            x = caller.decode(start["x"])
            verdict: dict[str, Any] = {"op": "verdict"}
            try:
                answer = function(layer, x)
                answer = answer.all() if isinstance(answer, np.ndarray) else answer
                verdict["fine"] = answer is None or bool(answer)
                verdict["text"] = "" if verdict["fine"] else f"returned {answer!r:.200}"
            except border.ClosedError:
                os._exit(0)
            except BaseException as error:
                verdict |= {"fine": False, "raised": raised(error)}
            caller.send(verdict)
            os._exit(0)

        def encode_other(self, value: Any, depth: int) -> Any:
            """Return an object as its attributes; without any, it stays here under a number."""
            number = self.numbers.get(id(value))
            if number is None:
                number = self.numbers[id(value)] = len(self.objects)
                self.objects.append(value)
            if not self.has_state(value):
                return ["held", number]
            if number in self.told:
                return ["object", number, type(value).__name__, None]
            self.told.add(number)
            attributes = []
            for name, item in list(vars(value).items()):
                try:
                    attributes.append([name, self.encode(item, depth + 1)])
                except border.BorderError:
                    attributes.append([name, ["held", self.hold(item)]])
            return ["object", number, type(value).__name__, attributes]

        def hold(self, value: Any) -> int:
            """Return the number under which something stays here."""
            number = self.numbers.setdefault(id(value), len(self.objects))
            if number == len(self.objects):
                self.objects.append(value)
            return number

        def has_state(self, value: Any) -> bool:
            """Whether a value is an object of a class of the submission's."""
            inner = isinstance(value, type | types.ModuleType | types.FunctionType)
            return not inner and isinstance(getattr(value, "__dict__", None), dict)

        def decode_other(self, kind: str, rest: Any, old: Any) -> Any:
            """Return the object that a number means, with new attributes."""
            if kind == "net":
                return Net(self.decode(rest[0]), self.decode(rest[1]))
            value = self.objects[rest[0]]
            if kind == "object" and rest[1] is not None:
                own = vars(value)
                for name, node in rest[1]:
                    own[name] = self.decode(node, own.get(name))
                for name in rest[2]:
                    own.pop(name, None)
            return value

    return Desk


def raised(error: BaseException) -> dict[str, str]:
    """Describe an error, and where in the submission's files it was raised."""
    kind = next(
        (k.__name__ for k in type(error).__mro__ if getattr(builtins, k.__name__, None) is k),
        "Exception",
    )
    where, step = "", error.__traceback__
    folder = os.getcwd()
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{os.path.basename(error.filename)}, line {error.lineno}"
    while step is not None:
        code = step.tb_frame.f_code
        if code.co_filename.startswith(folder):
            where = (
                f"{os.path.basename(code.co_filename)}, line {step.tb_lineno}, in {code.co_name}"
            )
        step = step.tb_next
    try:
        text = str(error.args[0]) if isinstance(error, KeyError | SyntaxError) else str(error)
    except BaseException:
        text = "an error that cannot be printed"
    return {"kind": kind, "name": type(error).__name__, "text": text[:2000], "where": where}


def describe(module: Any, name: str) -> dict[str, Any]:
    """Describe a class or a function of the submission: its methods and their arguments."""
    thing = getattr(module, name, None)
    if thing is None:
        return {"kind": "missing"}
    if not isinstance(thing, type):
        return {"kind": "function" if callable(thing) else "value"}
    base = getattr(sys.modules.get("elunet.layers"), "Layer", None)
    is_layer = base is not None and issubclass(thing, base)
    classes = [kind for kind in thing.__mro__ if kind not in (object, base)]
    methods = {}
    for kind in reversed(classes):
        for attribute, value in vars(kind).items():
            plain = not attribute.startswith("__") or attribute == "__call__"
            if plain and callable(value) and not isinstance(value, type):
                methods[attribute] = signature(getattr(thing, attribute))
    return {"kind": "class", "is_layer": is_layer, "methods": methods}


def signature(function: Any) -> list[Any]:
    """Return the arguments of a method: name, kind, and whether it has a default."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [["arguments", 2, False], ["named", 4, False]]
    return [[p.name, int(p.kind), p.default is not p.empty] for p in parameters]


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
