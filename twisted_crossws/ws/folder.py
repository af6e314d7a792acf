"""
A folder of pages: regular files that are in it and are not hidden, and nothing else.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.web.pages import errorPage, notFound
from twisted.web.resource import IResource
from twisted.web.static import File

#: The one kind of C{Range} that is heeded. Whatever else it says, the answer is the whole file, as RFC 9110 section
#: 14.2 lets a server do: with several ranges a request of some kilobytes could ask for gigabytes.
_RANGE = re.compile(rb"bytes=(\d{1,18}-\d{0,18}|-\d{1,18})")


class Folder(File):
    """
    A file of the folder, or a folder in it, or itself. Folders are not listed; no link leads out of it, and names that
    begin with a dot are not found.
    """

    def __init__(self, path: str, *args: Any) -> None:
        super().__init__(path, *args)
        self._root = path

    def getChild(self, path: bytes, request: Any) -> IResource:
        if path.startswith(b".") or not _isText(path):
            return notFound()
        child = super().getChild(path, request)
        return child if not isinstance(child, Folder) or child._isPublic() else notFound()

    def createSimilarFile(self, path: str) -> Folder:
        similar: Folder = super().createSimilarFile(path)
        similar._root = self._root
        return similar

    def directoryListing(self) -> Any:
        return notFound()

    def render_GET(self, request: Any) -> Any:
        if not _RANGE.fullmatch(request.getHeader(b"range") or b""):
            request.requestHeaders.removeHeader(b"range")
        try:
            return super().render_GET(request)
        except OSError:
            # It went meanwhile, or there is no descriptor left.
            return errorPage(503, "Service Unavailable", "The file cannot be read now.").render(request)

    render_HEAD = render_GET

    def _isPublic(self) -> bool:
        real = Path(os.path.realpath(self.path))
        try:
            inside = real.relative_to(os.path.realpath(self._root))
        except ValueError:
            return False
        return not any(part.startswith(".") for part in inside.parts) and (real.is_file() or real.is_dir())


def _isText(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
