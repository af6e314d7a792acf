"""
The applications in a node: found by what C{use} says, and started with it.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from inspect import iscoroutine, iscoroutinefunction, signature
from pkgutil import iter_modules
from typing import Any

from twisted.application.service import IService
from twisted.plugin import getPlugins

from twisted_crossws.interfaces import INodeService
from twisted_crossws.nearest import nearest
from twisted_crossws.node import Node
from twisted_crossws.places import shown
from twisted_crossws.services.asyncservice import startable
from twisted_crossws.services.causes import causeOf
from twisted_crossws.state.arguments import described

#: C{f(node, **options)}, attaches listeners and returns an IService or None.
Application = Callable[..., Any]

#: About one that would only begin to run when it is awaited.
_ASYNC = (
    "is an async def, and must be a plain function that returns an IService of Twisted or None; what takes time "
    "belongs into the startService of what it returns. It is {application}."
)


def findApplication(use: str) -> Application:
    """
    @param use: C{module:callable}, or the name of an installed plugin.
    @raise LookupError: there is none, or it cannot be imported; the message is the end of a sentence whose subject
        is C{use}.
    """
    module, colon, name = use.partition(":")
    return _fromModule(module, name) if colon else _fromPlugins(use)


def checkOptions(application: Application, options: dict[str, Any]) -> None:
    """
    @raise LookupError: it is an C{async def}, or does not take these options; the message is as that of
        L{findApplication}.
    """
    if iscoroutinefunction(application) or iscoroutinefunction(type(application).__call__):
        raise LookupError(_ASYNC.format(application=described(application)))
    try:
        takes = signature(application)
    except ValueError:
        return  # Something whose signature cannot be told, such as a function in C.
    try:
        takes.bind(None, **options)
    except TypeError as fault:
        says = f"cannot be called with its options: {fault}"
        unknown = [name for name in options if name not in takes.parameters]
        end = nearest(unknown[0], list(takes.parameters)[1:]) if unknown and "unexpected" in str(fault) else "."
        raise LookupError(says + end) from None


def addApplication(node: Node, application: Application, options: dict[str, Any]) -> None:
    """
    Call it, and make the service it returns a child of the node.

    @raise TypeError: it returned neither a service nor C{None}.
    """
    made = application(node, **options)
    if made is not None and not _isAdopted(node, made):
        says = f"A service's callable must return an IService or None, and {described(application)} returned {made!r}."
        raise TypeError(says)


def useApplication(node: Node, application: Application, options: dict[str, Any]) -> None:
    """
    As L{addApplication}, for people who have not written it.

    @raise LookupError: it failed, or returned something else; the message is as that of L{findApplication}.
    """
    try:
        made = application(node, **options)
    except (Exception, SystemExit) as fault:
        raise LookupError(f"failed: {causeOf(fault)}.") from None
    if made is not None and not _isAdopted(node, made):
        place = described(application)
        raise LookupError(f"must return an IService of Twisted or None, and {place} returned {made!r}.")


def _isAdopted(node: Node, made: object) -> bool:
    service = IService(made, None)
    if service is None:
        if iscoroutine(made):
            made.close()
        return False
    startable(service).setServiceParent(node)
    return True


def _fromModule(module: str, name: str) -> Application:
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as fault:
        raise LookupError(f"cannot be imported: {causeOf(fault)}{_meant(module, fault)}") from None
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as fault:
            raise LookupError(f"cannot be used: {fault}{nearest(part, _offered(found, module))}") from None
    if not callable(found):
        raise LookupError("names something that is not callable.")
    application: Application = found
    return application


def _offered(found: object, module: str) -> list[str]:
    """The callables of a module, or of a class in it, that are its own."""
    values = {name: getattr(found, name, None) for name in dir(found) if not name.startswith("_")}
    return [name for name, value in values.items() if callable(value) and getattr(value, "__module__", "") == module]


def _meant(module: str, fault: BaseException) -> str:
    """The end of a sentence about a module that cannot be imported."""
    if not isinstance(fault, ModuleNotFoundError) or fault.name != module:
        return "."
    package, _, last = module.rpartition(".")
    path = find_spec(package).submodule_search_locations if package else None  # type: ignore[union-attr]
    close = get_close_matches(last, [found.name for found in iter_modules(path)], 1)
    return f"; did you mean {shown(f'{package}.{close[0]}' if package else close[0])}?" if close else "."


def _fromPlugins(name: str) -> Application:
    offered = {plugin.name: plugin.makeService for plugin in getPlugins(INodeService)}
    if name in offered:
        application: Application = offered[name]
        return application
    if name.isidentifier() and find_spec(name) is not None:
        says = f"names a module, and not which callable of it; did you mean {shown(f'{name}:makeService')}?"
        raise LookupError(says)
    raise LookupError(f"is neither module:callable nor an installed plugin{nearest(name, sorted(offered))}")
