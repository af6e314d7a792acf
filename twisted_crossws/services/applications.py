"""
The applications in a node: found by what C{use} says, and started with it.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from typing import Any

from twisted.application.service import IService
from twisted.plugin import getPlugins

from twisted_crossws.interfaces import INodeService
from twisted_crossws.node import Node

#: C{f(node, **options)}, attaches listeners and returns an IService or None.
Application = Callable[..., Any]


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
    @raise LookupError: it does not take these options.
    """
    try:
        signature(application).bind(None, **options)
    except TypeError as fault:
        raise LookupError(f"cannot be called with its options: {fault}") from None
    except ValueError:
        return  # Something whose signature cannot be told, such as a function in C.


def addApplication(node: Node, application: Application, options: dict[str, Any]) -> None:
    """
    Call it, and make the service it returns a child of the node.

    @raise TypeError: it returned neither a service nor C{None}.
    """
    made = application(node, **options)
    if made is None:
        return
    service = IService(made, None)
    if service is None:
        raise TypeError(f"A service's callable must return an IService or None, and {application!r} returned {made!r}.")
    service.setServiceParent(node)


def _fromModule(module: str, name: str) -> Application:
    try:
        found: Any = import_module(module)
    except (Exception, SystemExit) as fault:
        raise LookupError(f"cannot be imported: {type(fault).__name__}: {fault}") from None
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError as fault:
        raise LookupError(f"cannot be used: {fault}") from None
    if not callable(found):
        raise LookupError("names something that is not callable")
    application: Application = found
    return application


def _fromPlugins(name: str) -> Application:
    offered = {plugin.name: plugin.makeService for plugin in getPlugins(INodeService)}
    if name in offered:
        application: Application = offered[name]
        return application
    known = ", ".join(sorted(offered)) or "none"
    raise LookupError(f"is neither module:callable nor an installed plugin (there are: {known})")
