"""The colours for a light and a dark ground, and the style sheet of the page.

Categorical colours are Okabe and Ito's (2008), which are safe for colour-blind readers, darkened and lightened so that
each has a contrast of at least 4.5 on its ground (WCAG 2.1).
"""

from __future__ import annotations

# Name -> (on light, on dark). Charts refer to them by the same names (figure.py).
COLOURS = {
    "ground": ("#ffffff", "#15181c"),
    "ink": ("#1b1f24", "#e6e9ec"),
    "soft": ("#545d66", "#a4adb6"),
    "line": ("#d3d8de", "#3a424b"),
    "panel": ("#f4f6f8", "#1e2329"),
    "warn": ("#8a4b00", "#f0b45a"),
    "link": ("#0b61a4", "#6cb8f0"),
    "calibrate": ("#6b7580", "#8f99a3"),
    "reference": ("#a85200", "#e69f00"),
    "pass": ("#0069a8", "#56b4e9"),
    "repeat": ("#007a5a", "#2cc295"),
    "sustain": ("#9c2f85", "#e08fcb"),
}


def _variables(place: int, fold: str) -> str:
    return fold.join(f"--{name}: {pair[place]};" for name, pair in COLOURS.items())


SHEET = f"""
:root {{ color-scheme: light dark; {_variables(0, " ")} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_variables(1, " ")} }} }}
* {{ box-sizing: border-box; }}
body {{ margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }}
main {{ max-width: 1032px; margin: 0 auto; padding: 16px; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 8px 0 4px; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25rem; margin: 0 0 4px; }}
h3 {{ font-size: 1rem; margin: 20px 0 4px; }}
p {{ margin: 4px 0; max-width: 75ch; overflow-wrap: anywhere; }}
section {{ margin: 0; padding: 24px 0 8px; border-top: 1px solid var(--line); }}
header {{ padding-bottom: 16px; }}
figure {{ margin: 4px 0 20px; }}
figcaption h3 {{ margin: 16px 0 8px; }}
.how, .drive, caption {{ color: var(--soft); }}
.how {{ margin-bottom: 8px; }}
.drive {{ margin-bottom: 12px; }}
.state {{ display: inline-block; font-size: .8rem; font-weight: 600; letter-spacing: .02em; vertical-align: middle;
  padding: 1px 10px; margin-left: 10px; border: 1px solid currentColor; border-radius: 99px; color: var(--soft); }}
.state.measured {{ color: var(--repeat); }}
.state.provisional, .state.stale {{ color: var(--warn); }}
.verdicts {{ list-style: none; margin: 12px 0; padding: 0; font-size: 1.1rem; }}
.verdicts li {{ padding: 8px 12px; margin: 6px 0; background: var(--panel); border-left: 4px solid var(--pass); }}
.verdicts li.unknown {{ border-color: var(--soft); }}
.verdicts strong {{ white-space: nowrap; }}
.findings {{ margin: 8px 0; padding: 10px 12px 10px 32px; background: var(--panel);
  border-left: 4px solid var(--warn); }}
.findings li {{ margin: 2px 0; overflow-wrap: anywhere; }}
.contents {{ margin: 16px 0 0; padding-left: 20px; color: var(--soft); }}
.contents li {{ margin: 2px 0; }}
a {{ color: var(--link); }}
.box {{ overflow-x: auto; max-width: 100%; }}
.box:focus-visible, a:focus-visible {{ outline: 2px solid var(--link); outline-offset: 2px; }}
.pair {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 8px 24px; }}
.pair > * {{ min-width: 0; }}
table {{ border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; padding: 4px 0; }}
th, td {{ text-align: left; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
tbody th {{ font-weight: 600; white-space: nowrap; }}
thead th {{ color: var(--soft); font-weight: 600; white-space: nowrap; }}
td {{ overflow-wrap: break-word; }}
.figures td {{ white-space: nowrap; }}
.figures th, .figures td {{ padding-right: 12px; }}
pre {{ margin: 8px 0; padding: 12px; background: var(--panel); font-size: .85rem; line-height: 1.4; overflow-x: auto;
  font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
svg.chart {{ display: block; height: auto; color: var(--ink);
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }}
svg.chart * {{ stroke-linejoin: round; stroke-linecap: butt; }}
footer {{ color: var(--soft); font-size: .9rem; padding: 16px 0; border-top: 1px solid var(--line); }}
@media print {{
  :root {{ color-scheme: light; {_variables(0, " ")} }}
  body {{ font-size: 10pt; }}
  .box {{ overflow: visible; }}
  svg.chart {{ max-width: 100%; min-width: 0 !important; }}
  h2, h3 {{ break-after: avoid; }}
  figure, tr, .verdicts li {{ break-inside: avoid; }}
  pre {{ white-space: pre-wrap; }}
}}
"""
