"""HTML elements. Text that is not Markup is escaped, because names of drives and findings are untrusted."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ALONE = frozenset({"meta", "br", "hr"})


class Markup(str):
    """Text that is already HTML."""

    __slots__ = ()


def text(content: str) -> Markup:
    """Return the content as HTML; Markup stays as it is.

    Control characters, which HTML forbids, become the replacement character.
    """
    if isinstance(content, Markup):
        return content
    return Markup(_escaped(content))


def _escaped(content: str) -> str:
    return html.escape(
        "".join(each if each >= " " or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in content)
    )


def join(parts: Iterable[str], between: str = "\n") -> Markup:
    """Return the parts as HTML, one after the other."""
    return Markup(between.join(text(part) for part in parts))


def tag(name: str, /, *inside: str, **attributes: str | int) -> Markup:
    """Return an element; attributes are keywords with "_" for "-", and with a "_" at the end as in `class_`."""
    words = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_escaped(str(value))}"' for key, value in attributes.items()
    )
    if name in _ALONE:
        return Markup(f"<{name}{words}>")
    return Markup(f"<{name}{words}>{join(inside, '')}</{name}>")


def items(lines: Iterable[str], **attributes: str | int) -> Markup:
    """Return an unordered list."""
    return tag("ul", *(tag("li", line) for line in lines), **attributes)


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, class_: str = "facts", *, label: str = ""
) -> Markup:
    """Return a table in a scrolling box; the first cell of a row is its heading.

    The label names the box for screen readers; without one it is the caption.
    """
    top = tag("tr", *(tag("th", cell, scope="col") for cell in head)) if any(head) else Markup("")
    body = (tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows)
    shown = tag("caption", caption) if caption else ""
    inner = tag("table", shown, tag("thead", top) if top else "", tag("tbody", *body), class_=class_)
    return box(inner, label or caption)


def box(inside: str, label: str) -> Markup:
    """Return a box for content that may be wider than the page; mouse and keyboard scroll it."""
    return tag("div", inside, class_="box", tabindex=0, role="region", aria_label=label)


def section(name: str, heading: str, how: str, *inside: str) -> Markup:
    """Return a section of the page, with its anchor and with the line that explains it."""
    return tag("section", tag("h2", heading), tag("p", how, class_="how") if how else "", *inside, id=name)


def document(title: str, style: str, *inside: str, class_: str = "") -> str:
    """Return the page; its security policy blocks every request."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    head = tag(
        "head",
        join(
            (
                tag("meta", charset="utf-8"),
                tag("meta", http_equiv="Content-Security-Policy", content=policy),
                tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
                tag("meta", name="color-scheme", content="light dark"),
                tag("meta", name="referrer", content="no-referrer"),
                tag("title", title),
                tag("style", Markup(style)),
            )
        ),
    )
    main = tag("main", join(inside), **({"class_": class_} if class_ else {}))
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', main), lang='en')}\n"
