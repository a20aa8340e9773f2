"""Stand-ins for a submission's classes: tests use them as they would use the classes themselves.

A stand-in has the methods of the submission's class, with the same arguments, and the attributes
that an object of it has, with the same names. A call goes to the submission's process; what comes
back are numbers. So the tests, the expected values and the verdict are all on this side, where no
line of the submission ever runs.
"""

from __future__ import annotations

import builtins
import contextlib
import copy
import inspect
import json
import types
import weakref
from collections.abc import Callable
from typing import Any

from elunet.layers import Layer
from elunet.teaching.submission._border import Border, BorderError, ClosedError

ENDING = ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "BaseException")
"""Errors that would end this process; a submission's become a RuntimeError here."""


class SubmissionEndedError(RuntimeError):
    """The submission's process has ended, took too long, or did something forbidden."""


class Held:
    """Something that stays in the submission's process: a function, an open file."""


class Part:
    """An object in another object of the submission, with its attributes."""


class Session(Border):
    """The connection of one test to one copy of the submission.

    Parameters
    ----------
    connection : socket
    deadline : float
        On the monotonic clock.
    """

    def __init__(self, connection: Any, deadline: float) -> None:
        super().__init__(connection, calls=True)
        self.deadline = deadline
        self.ended = ""
        self._numbers: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._objects: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._known: dict[int, str] = {}
        self._names: dict[int, set[str]] = {}
        self._classes: dict[str, type] = {}
        self._told: set[int] = set()

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises
        ------
        SubmissionEndedError
            If none comes.
        """
        if self.ended:
            raise SubmissionEndedError(self.ended)
        try:
            self.send(request)
            reply = self.receive()
        except BorderError as error:
            raise self.lost(error) from None
        if "ended" in reply:
            raise self.stopped(reply["ended"])
        return reply

    def lost(self, error: Exception) -> SubmissionEndedError:
        """Return the error to raise after an invalid message or none."""
        if not isinstance(error, ClosedError):
            self.ended = f"your code sent something other than numbers: {error}"
        elif "long" in str(error):
            self.ended = "your code takes too long"
        else:
            self.ended = "your code ended the process (os._exit, a crash, or out of memory)"
        return SubmissionEndedError(self.ended)

    def stopped(self, reason: Any) -> SubmissionEndedError:
        """Return the error to raise when the guard has ended the process."""
        try:
            text = bytes.fromhex(reason).decode("utf-8", "replace")
        except (TypeError, ValueError):
            text = "the reason cannot be read"
        self.ended = f"your code was stopped: {clean(text)}"
        return SubmissionEndedError(self.ended)

    def describe(self, name: str) -> dict[str, Any]:
        """Return a description of the object with this name in the submission."""
        reply = self.ask({"op": "describe", "name": name})
        self._raise(reply)
        found = reply.get("result")
        if not isinstance(found, dict) or "kind" not in found:
            raise self.lost(BorderError("no description"))
        return found

    def problem(self) -> str:
        """Return why the submission cannot be imported, "" if it can."""
        try:
            reply = self.ask({"op": "describe", "name": ""})
            if "raised" in reply:
                return words(reply["raised"])
            if not isinstance(reply.get("result"), dict):
                raise self.lost(BorderError("no description"))
        except SubmissionEndedError as error:
            return str(error)
        return ""

    def run(self, request: dict[str, Any], target: Any = None) -> Any:
        """Let the submission's process do something and return the result; errors are raised."""
        reply = self.ask(request)
        try:
            if target is not None:
                number = self._numbers[target]
                self._objects[number] = target
                self.decode(reply["state"])
                self._told.clear()
                self._known[number] = json.dumps(self._state(target))
            self._raise(reply)
            return self.decode(reply["result"])
        except (KeyError, TypeError, AttributeError, BorderError) as error:
            if "raised" in reply:
                raise
            raise self.lost(error) from None

    def call(self, target: Any, method: str, arguments: Any, named: Any) -> Any:
        """Call a method of an object of the submission's."""
        number = self._numbers[target]
        self._told.clear()
        state = self._state(target)
        is_known = json.dumps(state) == self._known.get(number)
        gone = [] if is_known else sorted(self._names[number] - vars(target).keys())
        request = {
            "op": "call",
            "method": method,
            "target": ["object", number, None if is_known else state, gone],
            "arguments": self.encode(tuple(arguments)),
            "named": self.encode(named),
        }
        return self.run(request, target)

    def make(self, kind: type, arguments: Any, named: Any) -> Any:
        """Make an object of a class of the submission's."""
        self._told.clear()
        request = {
            "op": "make",
            "name": kind.__name__,
            "arguments": self.encode(tuple(arguments)),
            "named": self.encode(named),
        }
        self._classes[kind.__name__] = kind
        made = self.run(request)
        if type(made) is not kind:
            raise TypeError(f"expected {kind.__name__}(...) to make an object, got {made!r:.100}")
        return made

    def _state(self, target: Any) -> list[Any]:
        """Return an object's attributes on this side, without those that cannot be sent."""
        self._told.add(self._numbers[target])
        found = []
        for name, value in vars(target).items():
            try:
                found.append([name, self.encode(value)])
            except BorderError:
                continue
        return found

    def encode_other(self, value: Any, depth: int) -> Any:
        """Return an object of the submission's as its number; a network as its arrays."""
        try:
            number = self._numbers.get(value)
        except TypeError:
            number = None
        if number is not None:
            if isinstance(value, Held):
                return ["held", number]
            state = None if number in self._told else self._state(value)
            return ["object", number, state, []]
        arrays = [getattr(value, name, None) for name in ("parameters", "gradients")]
        if all(map(callable, arrays)):
            return ["net", *(self.encode(dict(get()), depth + 1) for get in arrays)]  # type: ignore[misc]
        return super().encode_other(value, depth)

    def decode_other(self, kind: str, rest: Any, old: Any) -> Any:
        """Return the stand-in of an object, with its new attributes."""
        if kind not in ("held", "object"):
            return super().decode_other(kind, rest, old)
        number = int(rest[0])
        value = self._objects.get(number)
        if value is None:
            value = Held() if kind == "held" else self._new(clean(rest[1]))
            self._objects[number], self._numbers[value] = value, number
        if kind == "object" and rest[2] is not None:
            own, names = vars(value), set()
            for name, node in rest[2]:
                if type(name) is str and not name.startswith("__"):
                    own[name] = self.decode(node, own.get(name))
                    names.add(name)
            for name in self._names.get(number, set()) - names:
                own.pop(name, None)
            self._names[number] = names
        return value

    def _new(self, name: str) -> Any:
        """Return a new stand-in for an object of a class."""
        kind = self._classes.get(name)
        if kind is None:
            kind = self._classes[name] = type(name, (Part,), {"__module__": __name__})
        return object.__new__(kind)

    def adopt(self, value: Any, like: Any) -> None:
        """Let a copy of a stand-in stand for the same object; its attributes are its own."""
        self._numbers[value] = self._numbers[like]

    def _raise(self, reply: dict[str, Any]) -> None:
        """Raise the error that a reply tells of."""
        if "raised" not in reply:
            return
        told = reply["raised"]
        kind = getattr(builtins, str(told.get("kind")), None) if type(told) is dict else None
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            kind = RuntimeError
        text = words(told)
        error: Exception = RuntimeError(text)
        with contextlib.suppress(TypeError):  # of one that takes more arguments
            error = kind(text.removeprefix(f"{kind.__name__}: "))
        raise error


def words(told: Any) -> str:
    """Return an error of the submission in words: its name, its text, and where it was raised."""
    told = {str(name): clean(text) for name, text in told.items()} if type(told) is dict else {}
    name, text, where = (told.get(key, "") for key in ("name", "text", "where"))
    if name == "NotImplementedError" and not text:
        text = "not written yet"
    if name == "SystemExit":
        text = f"{text}: your code ends the process".removeprefix(": ")
    said = f"{name}: {text}" if text else name
    return f"{said} ({where})" if where else said


def clean(value: Any) -> str:
    """Return a text from the other side without control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in str(value)[:3000])


class StandIns(types.ModuleType):
    """A module whose classes are those of the submission, each by a stand-in.

    Parameters
    ----------
    name : str
        The module's.
    session : callable
        Returns the session of the test that runs.
    """

    def __init__(self, name: str, session: Callable[[], Session]) -> None:
        super().__init__(name)
        self.__dict__["_session"] = session
        self.__dict__["_found"] = {}

    def __getattr__(self, name: str) -> Any:
        """Return the stand-in of a class."""
        if name.startswith("__"):
            raise AttributeError(name)
        found: dict[str, Any] = self.__dict__["_found"]
        if name not in found:
            session = self.__dict__["_session"]
            told = session().describe(name)
            if told["kind"] != "class":
                raise AttributeError(f"{self.__name__}.py has no class {name}")
            found[name] = _class(name, told, session)
        return found[name]


def _class(name: str, told: dict[str, Any], session: Callable[[], Session]) -> type:
    """Return the class of the stand-ins for one of the submission's."""
    bases = (Layer,) if told["is_layer"] else ()
    body: dict[str, Any] = {"__module__": __name__, "__init__": _made, "__deepcopy__": _copied}
    for method, arguments in told["methods"].items():
        body[str(method)] = _method(str(method), arguments)
    kind = type(name, bases, body)
    _SESSIONS[kind] = session
    return kind


_SESSIONS: weakref.WeakKeyDictionary[type, Callable[[], Session]] = weakref.WeakKeyDictionary()


def _made(self: Any, *arguments: Any, **named: Any) -> None:
    """Make the object in the submission's process, and take its attributes."""
    session = _SESSIONS[type(self)]()
    made = session.make(type(self), arguments, named)
    session.adopt(self, made)
    vars(self).update(vars(made))
    _OWNERS[self] = session


_OWNERS: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()


def _copied(self: Any, memo: dict[int, Any]) -> Any:
    """Return a stand-in for the same object, with copies of its attributes."""
    new: Any = object.__new__(type(self))
    memo[id(self)] = new
    vars(new).update(copy.deepcopy(vars(self), memo))
    session = _OWNERS[new] = _OWNERS[self]
    session.adopt(new, self)
    return new


def _method(name: str, arguments: list[Any]) -> Any:
    """Return a method that is run in the submission's process."""

    def method(self: Any, *given: Any, **named: Any) -> Any:
        return _OWNERS[self].call(self, name, given, named)

    method.__name__ = method.__qualname__ = name
    kinds = list(inspect._ParameterKind)
    parameters = [
        inspect.Parameter(
            str(argument), kinds[kind], default=None if has_default else inspect.Parameter.empty
        )
        for argument, kind, has_default in arguments
    ]
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return method
