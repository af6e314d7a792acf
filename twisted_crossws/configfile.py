"""
The configuration as it is written: a file is read and checked, and every fault of it is reported at once.

Each fault is a sentence that starts with its place::

    crossws.toml, line 7: [websocket] ping_interval must be a number of seconds, 0 or above, and is "often".
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from typing import Any

from twisted_crossws.clusterfile.layers import Layers
from twisted_crossws.config import Config
from twisted_crossws.errors import ConfigError
from twisted_crossws.nearest import nearest
from twisted_crossws.places import Source, shown

__all__ = ["Source", "configFromMapping", "loadConfig", "readConfig", "readLayers"]


def loadConfig(path: str, environment: str | None = None) -> Config:
    """
    @param path: a TOML file. Of one that describes many servers this is what they share.
    @param environment: the one whose sections hold; by default C{[master] environment}.
    @raise ConfigError: every fault of it.
    """
    config, _, faults = readConfig(path, environment)
    if faults:
        raise ConfigError(faults)
    return config


def configFromMapping(
    mapping: Mapping[str, Any], source: str = "configuration", environment: str | None = None
) -> Config:
    """
    The same checks, on what a file would have said.

    @param source: what the faults start with.
    @raise ConfigError: every fault of it.
    """
    config, faults = _config(*_layers(mapping, Source(source), environment))
    if faults:
        raise ConfigError(faults)
    return config


def readConfig(path: str, environment: str | None = None) -> tuple[Config, Source, list[str]]:
    """
    For a caller that has more to check, and reports everything together.

    @return: what could be used of the file, what to make further faults with, and those that were found. A file that
        cannot be read has the defaults, and one fault.
    """
    layers, source, faults = readLayers(path, environment)
    config, faults = _config(layers, source, faults)
    return config, source, faults


def readLayers(path: str, environment: str | None = None) -> tuple[Layers, Source, list[str]]:
    """
    The same, before anything is made of what is said.
    """
    source = Source(os.path.basename(os.path.normpath(path)))
    try:
        text = _read(path, source.name)
        source = Source(source.name, text)
        return _layers(_parse(text, source.name), source, environment)
    except ConfigError as unreadable:
        layers, _, _ = _layers({}, source, environment)
        return layers, source, list(unreadable.faults)


def _layers(table: Mapping[str, Any], source: Source, environment: str | None) -> tuple[Layers, Source, list[str]]:
    faults: list[str] = []
    layers = Layers(table, lambda *fault: faults.append(source.fault(*fault)), environment)
    if environment is not None and environment not in layers.environments:
        says = f"has no environment {shown(environment)}{nearest(environment, layers.environments)}"
        faults.append(f"{source.name} {says} Others are declared by [master] environments.")
    return layers, source, faults


def _config(layers: Layers, source: Source, faults: list[str]) -> tuple[Config, list[str]]:
    config = layers.config(lambda *fault: faults.append(source.fault(*fault)))
    return config, faults


def _read(path: str, name: str) -> str:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as fault:
        raise ConfigError([f"{name} cannot be read: {fault.strerror} ({os.path.abspath(path)})."]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        line = data.count(b"\n", 0, fault.start) + 1
        raise ConfigError([f"{name}, line {line}: this is not UTF-8; save the file as UTF-8."]) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError([f"{name}: this is nested too deeply."]) from None
    except ValueError as fault:
        what, _, where = str(fault).rpartition(" (at ")
        place = f"{name}, {where.rstrip(')')}" if what else name
        raise ConfigError([f"{place}: this is not TOML: {what or where}."]) from None
