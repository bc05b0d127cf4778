"""The colours for a light and a dark background, and the style sheet of the page.

Categorical colours are Okabe and Ito's (2008), which are safe for colour-blind readers, darkened and lightened so that
each has a contrast of at least 4.5 to its background (WCAG 2.1).
"""

from __future__ import annotations

# Name -> (on light, on dark). Charts use the same names (figure.py).
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
main {{ max-width: 1096px; margin: 0 auto; padding: 12px 16px; }}
h1 {{ font-size: 1.7rem; line-height: 1.2; margin: 8px 0 4px; overflow-wrap: anywhere; }}
h2 {{ font-size: 1.25rem; margin: 0 0 4px; }}
header h2 {{ font-size: 1.1rem; margin-top: 8px; }}
h3 {{ font-size: 1rem; margin: 20px 0 4px; }}
p {{ margin: 4px 0; max-width: 75ch; overflow-wrap: anywhere; }}
section {{ margin: 0; padding: 24px 0 8px; border-top: 1px solid var(--line); }}
header {{ padding-bottom: 12px; }}
figure {{ margin: 4px 0 20px; }}
figcaption h3 {{ margin: 16px 0 8px; }}
.how, .drive, caption {{ color: var(--soft); }}
.how {{ margin-bottom: 8px; }}
.drive {{ margin-bottom: 4px; }}
.state {{ display: inline-block; font-size: .8rem; font-weight: 600; letter-spacing: .02em; vertical-align: middle;
  padding: 1px 10px; margin-left: 10px; border: 1px solid currentColor; border-radius: 99px; color: var(--soft); }}
.state.measured {{ color: var(--repeat); }}
.state.provisional, .state.stale {{ color: var(--warn); }}
.first {{ display: grid; grid-template-columns: minmax(0, 1fr); gap: 0 32px; }}
@media (min-width: 960px) {{
  .first {{ grid-template: auto 1fr / repeat(2, minmax(0, 1fr)); }}
  .why {{ grid-area: 1 / 2 / span 2; }}
}}
header > p {{ max-width: none; }}
.keys {{ width: 100%; }}
.keys td {{ white-space: nowrap; }}
@media (max-width: 559px) {{
  .keys th, .keys td {{ padding-right: 8px; font-size: .8rem; white-space: normal; }}
}}
.blocks {{ display: grid; grid-template-columns: minmax(0, 1fr); gap: 0 16px; }}
@media (min-width: 560px) {{ .blocks {{ grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); }} }}
.blocks p {{ font-size: .85rem; line-height: 1.35; margin-top: 10px; }}
.blocks code {{ color: var(--soft); white-space: nowrap; }}
pre.copy {{ user-select: all; -webkit-user-select: all; cursor: copy; margin: 4px 0 8px; font-size: .8rem; }}
.verdicts {{ list-style: none; margin: 4px 0 12px; padding: 0; }}
.verdicts li {{ padding: 4px 12px; margin: 5px 0; overflow-wrap: anywhere; background: var(--panel);
  border-left: 4px solid var(--repeat); }}
.verdicts li.low {{ border-color: var(--warn); }}
.verdicts li.unknown {{ border-color: var(--soft); }}
.fluid {{ margin: 4px 0 8px; max-width: 516px; }}
.fluid svg.chart {{ width: 100%; min-width: 0 !important; }}
.findings {{ margin: 4px 0 8px; padding: 8px 12px 8px 32px; background: var(--panel);
  border-left: 4px solid var(--warn); }}
.findings code {{ white-space: nowrap; }}
.findings li {{ margin: 2px 0; overflow-wrap: anywhere; }}
nav {{ margin-top: 8px; color: var(--soft); }}
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
.figures th, .figures td {{ padding-right: 12px; }}
pre {{ margin: 8px 0; padding: 12px; background: var(--panel); font-size: .85rem; line-height: 1.4; overflow-x: auto;
  font-family: ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
svg.chart {{ display: block; height: auto; color: var(--ink);
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }}
svg.chart * {{ stroke-linejoin: round; stroke-linecap: butt; }}
footer {{ color: var(--soft); font-size: .9rem; padding: 16px 0; border-top: 1px solid var(--line); }}
/* The maps of a comparison: side by side from 1380 px on, scaled to 80 % of their size at the least. */
main.wide {{ max-width: 2700px; }}
main.wide > * {{ max-width: 1096px; margin-inline: auto; }}
.maps {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 660px), 1fr)); gap: 0 24px; }}
.maps > * {{ min-width: 0; }}
@media (min-width: 1380px) {{
  main.wide > #settings {{ max-width: none; }}
  .maps svg.chart {{ width: 100%; min-width: 0 !important; max-width: 1100px; }}
}}
@media print {{
  :root {{ color-scheme: light; {_variables(0, " ")} }}
  body {{ font-size: 10pt; }}
  .box {{ overflow: visible; }}
  svg.chart {{ max-width: 100%; min-width: 0 !important; }}
  h2, h3 {{ break-after: avoid; }}
  figure, tr, .verdicts li, pre.copy {{ break-inside: avoid; }}
  pre {{ white-space: pre-wrap; }}
}}
"""
