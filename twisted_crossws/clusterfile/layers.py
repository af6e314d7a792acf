"""
What a file says in one of its environments: what it says for all, with the sections of that environment laid over it.

Keys take the place of keys, one by one, and lists and repeated sections the place of the whole list; what an
environment does not mention stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted_crossws.clusterfile.sections import Said
from twisted_crossws.config import Config, MasterConfig
from twisted_crossws.configcheck import Report, checked, contradictions, environmentsOf, made
from twisted_crossws.places import Place


class Layers:
    """
    @ivar environment: the chosen one.
    @ivar environments: all that the file may have sections for.
    @ivar said: what holds in that environment.
    @ivar isCluster: whether the file describes servers, in whatever environment, and not one node.
    """

    def __init__(self, table: Mapping[str, Any], report: Report, environment: str | None = None) -> None:
        """
        @param table: what the file says.
        @param report: called with each fault of a key or section by itself, in every environment.
        @param environment: by default the one that the file names.
        """
        said = checked(table, report)
        names = environmentsOf(table)
        shared: Said = {key: value for key, value in said.items() if key not in names}
        self.environments = names
        default = shared.get("master", {}).get("environment", MasterConfig().environment)
        self.environment = default if environment is None else environment
        self._over: Said = said.get(self.environment, {}) if self.environment in names else {}
        self.said = merged(shared, self._over)
        everywhere = [shared, *(said[name] for name in names if name in said)]
        self.isCluster = any("server" in part or "kind" in part for part in everywhere)

    def place(self, place: Place, key: str = "") -> Place:
        """
        Where it stands: in the section of the environment, if that says it.

        @param place: of the section, as if there were no environments.
        """
        isOver = _says(self._over, (*place, key) if key else place)
        return (self.environment, *place) if isOver else place

    def config(self, report: Report) -> Config:
        """
        What the file says of one node, or of what its servers share.

        @param report: called with what contradicts itself; both stay.
        """
        config = made(Config, self.said)
        for section, key, says in contradictions(config):
            report(self.place(tuple(section.split(".")), key), key, says)
        return config


def merged(base: Said, over: Said) -> Said:
    """
    @return: the one laid over the other.
    """
    both = {key: merged(base[key], value) for key, value in over.items() if _areTables(base.get(key), value)}
    return {**base, **over, **both}


def _areTables(one: Any, other: Any) -> bool:
    return isinstance(one, dict) and isinstance(other, dict)


def _says(said: Any, place: Place) -> bool:
    for part in place:
        if isinstance(part, int):
            return True  # What is repeated is all from one place.
        if not isinstance(said, dict) or part not in said:
            return False
        said = said[part]
    return True
