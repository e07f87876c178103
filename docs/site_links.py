"""Links that hold in the repository become links that hold in the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:)([^)#\s]+)(#[^)\s]*)?\)")
_CONTENDER = re.compile(r"(?<=\| )(?P<mark>`?)(?P<name>\w+)(?:@[^|`\n]+)?(?P=mark)(?= \|)")


def between(here: str, there: str) -> str:
    """The link from one page of the site to another."""
    return posixpath.relpath(there, posixpath.dirname(here) or ".")


def with_links(text: str, source: str, places: Mapping[str, str], is_there: Callable[[str], bool]) -> str:
    """A file's text with links between pages in place of those between files; a link to another file is plain text.

    Args:
        text: in Markdown.
        source: the file, as a path in the repository.
        places: by file its place in the site.
        is_there: whether the repository has a path; a link to nothing stays, for the site's generator to complain of.
    """

    def turned(link: re.Match[str]) -> str:
        mark, label, target, anchor = link.groups()
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if path in places:
            return f"{mark}[{label}]({between(places[source], places[path])}{anchor or ''})"
        return label if is_there(path) else link[0]

    return _LINK.sub(turned, text)


def with_contenders(text: str, here: str, places: Mapping[str, str]) -> str:
    """Contenders in cells of tables lead to their places, from a page of the site."""

    def turned(cell: re.Match[str]) -> str:
        place = places.get(cell["name"])
        return f"[{cell[0]}]({between(here, place)})" if place else cell[0]

    return _CONTENDER.sub(turned, text)
