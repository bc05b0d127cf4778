"""Charts by matplotlib, placed in pixels on a sheet, as SVG inside a page.

Colours of the theme follow the light or dark mode of the reader. Each is drawn in a placeholder colour, which is then
replaced by the style sheet's variable. Text stays text, in the page's font.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from aio_tuned import extras
from aio_tuned.errors import ConfigError
from aio_tuned.report.html.markup import Markup, text
from aio_tuned.report.html.style import COLOURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from matplotlib.axes import Axes

# The placeholder colour of each name.
THEME = {name: f"#0101{number:02x}" for number, name in enumerate(COLOURS)}
INK, SOFT, LINE, GROUND = THEME["ink"], THEME["soft"], THEME["line"], THEME["ground"]
FONT_PX = 12.0
# matplotlib's unit: one pixel here is one of its points.
_DPI = 72


def _writable(folder: Path) -> bool:
    # Path.exists() raises where a parent folder may not be searched.
    while not os.path.exists(folder) and folder != folder.parent:  # noqa: PTH110
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)


def _own_folders() -> list[Path]:
    """Return matplotlib's default folders for its configuration and its list of fonts."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises without a home
    config, cache = os.environ.get("XDG_CONFIG_HOME"), os.environ.get("XDG_CACHE_HOME")
    return [Path(config) if config else home / ".config", Path(cache) if cache else home / ".cache"]


@contextlib.contextmanager
def drawing() -> Iterator[None]:
    """Configure matplotlib for drawing, with a writable folder.

    Raise ConfigError if matplotlib is not installed.
    """
    with contextlib.ExitStack() as stack:
        if "MPLCONFIGDIR" not in os.environ and not all(map(_writable, _own_folders())):
            os.environ["MPLCONFIGDIR"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="aio-tuned-"))
            stack.callback(os.environ.pop, "MPLCONFIGDIR")
        try:
            import matplotlib as mpl
        except ImportError:
            raise ConfigError(f"a report needs matplotlib: {extras.get('python3-matplotlib', 'matplotlib')}") from None
        with mpl.rc_context():
            mpl.rcdefaults()  # a user's matplotlibrc must not change reports
            mpl.rcParams.update(
                {
                    "svg.fonttype": "none",
                    "svg.hashsalt": "aio-tuned",
                    "path.simplify": False,
                    "font.size": FONT_PX,
                    "text.color": INK,
                    "text.parse_math": False,
                    "axes.edgecolor": SOFT,
                    "axes.labelcolor": INK,
                    "axes.titlecolor": INK,
                    "xtick.color": SOFT,
                    "ytick.color": SOFT,
                    "xtick.labelcolor": INK,
                    "ytick.labelcolor": INK,
                    "hatch.linewidth": 0.8,
                }
            )
            yield


class Sheet:
    """A chart; sizes and positions are in pixels from its left and its top."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._figure.patch.set_visible(False)
        FigureCanvasSVG(self._figure)
        self._titles: dict[str, str] = {}

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes at that position, with a left and a bottom spine only."""
        axes = self._figure.add_axes(
            (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        )
        axes.patch.set_visible(False)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        return axes

    def canvas(self) -> Axes:
        """Add axes whose units are the sheet's pixels, from its left and its top."""
        axes = self.axes(0, 0, self.width, self.height)
        axes.set_axis_off()
        axes.set_xlim(0, self.width)
        axes.set_ylim(self.height, 0)
        return axes

    def write(self, left: float, top: float, words: str, **how: object) -> None:
        """Write text whose vertical centre is at `top`."""
        self._figure.text(
            left / self.width,
            1 - top / self.height,
            words,
            **{"va": "center_baseline", **how},  # type: ignore[arg-type]
        )

    def tip(self, words: str) -> str:
        """Return an id; the object drawn with it shows these words on hover."""
        name = f"tip{len(self._titles)}"
        self._titles[name] = words
        return name

    def markup(self, name: str, label: str) -> Markup:
        """Return the chart as an element; `name` must be unique on the page, and `label` describes the chart."""
        made = io.StringIO()
        self._figure.savefig(made, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
        return _inline(made.getvalue(), name, label, self.width, self.height, self._titles)


def dots(axes: Axes, places: Iterable[tuple[float, float]], colour: str, size: float, *, square: bool = False) -> None:
    """Draw markers as one path of zero-length lines with round or square caps: 30 bytes each instead of 150."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Outline

    at = [place for place in places for _ in range(2)]
    if at:
        outline = Outline(at, [Outline.MOVETO, Outline.LINETO] * (len(at) // 2))
        cap = "projecting" if square else "round"
        axes.add_patch(PathPatch(outline, fill=False, edgecolor=colour, linewidth=size, capstyle=cap, clip_on=False))


def legend(sheet: Sheet, left: float, top: float, entries: Sequence[tuple[str, str, bool]]) -> None:
    """Draw a row of entries, each a marker with its words: (words, colour, is square)."""
    axes = sheet.canvas()
    for words, colour, square in entries:
        dots(axes, [(left + 5, top)], colour, 7, square=square)
        sheet.write(left + 14, top, words)
        left += 14 + wide(words) + 18


def wide(words: str, size: float = FONT_PX) -> float:
    """Estimate the width of a text in pixels; system fonts differ by a tenth."""
    return 0.56 * size * len(words)


def _number(found: re.Match[str]) -> str:
    return f"{float(found[0]):.1f}".removesuffix(".0")


def _path(found: re.Match[str]) -> str:
    return f'{found[1]}="{re.sub(r"-?[0-9]+[.][0-9]+", _number, found[2]).replace(chr(10), "").strip()}"'


def _style(found: re.Match[str]) -> str:
    """Return a style without the font family and without spaces, to keep the page small."""
    kept = re.sub(r"font: ?((?:\w+ )*?)([0-9.]+)px[^;]*", _font, found[1])
    return f'style="{kept.replace("; ", ";").replace(": ", ":")}"'


def _font(found: re.Match[str]) -> str:
    weight = f"font-weight: {words}; " if (words := found[1].strip()) else ""
    return f"{weight}font-size: {found[2]}px"


def _inline(svg: str, name: str, label: str, width: float, height: float, titles: dict[str, str]) -> Markup:
    """Return the chart without head, style sheet and fonts; its ids are unique on the page."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r'\b(d|transform)="([^"]*)"', _path, body)
    body = re.sub(r'style="([^"]*)"', _style, body)
    body = body.replace("xlink:href", "href").replace("stroke-linecap:projecting", "stroke-linecap:square")
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', body))
    kept = {each for pair in used for each in pair if each}
    body = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in kept or found[1] in titles else "", body)
    body = re.sub(r'(url\(#|href="#| id=")', rf"\g<1>{name}-", body)
    for each, words in titles.items():
        body = body.replace(f'<g id="{name}-{each}">', f"<g><title>{text(words)}</title>", 1)
    for each, colour in THEME.items():
        body = body.replace(colour, f"var(--{each})")
    body = re.sub(r"\s*\n\s*", "\n", body)
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
        f' style="min-width:{width:g}px" role="img" aria-label="{text(label)}">{body}</svg>'
    )
