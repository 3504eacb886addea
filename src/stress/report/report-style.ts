/** The style sheet of the HTML report. Series colours keep their order in light and dark and are told apart in both. */

export const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --ink: #1b1b1a; --soft: #5c5b57; --grid: #e4e3de; --good: #0a6b2c; --bad: #b3261e;
  --c0: #2a78d6; --c1: #eb6834; --c2: #1baf7a; --c3: #4a3aa7; --c4: #e34948; --c5: #b98200; --c6: #d1608f; --c7: #6b6a66;
  --p0: #86b6ef; --p1: #2a78d6; --p2: #123f78;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #161615; --card: #20201f; --ink: #f2f1ee; --soft: #b3b1ab; --grid: #383835; --good: #5fd088; --bad: #ff8a80;
    --c0: #3987e5; --c1: #e8743f; --c2: #1fae7d; --c3: #9085e9; --c4: #e66767; --c5: #d0972a; --c6: #e07aa6; --c7: #9c9a94;
    --p0: #2f5f9c; --p1: #5b9fee; --p2: #b7d3f6;
  }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 20px 24px 48px; max-width: 1440px; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
h1 span { font-size: 15px; font-weight: 600; white-space: nowrap; }
h2 { margin: 0 0 10px; font-size: 18px; overflow-wrap: anywhere; }
header p { margin: 4px 0 16px; color: var(--soft); }
.good { color: var(--good); } .bad { color: var(--bad); }
section { margin: 0 0 16px; padding: 16px; border-radius: 8px; background: var(--card); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 0 0 16px; }
.tiles div { padding: 10px 14px; border-radius: 8px; background: var(--card); }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 380px), 1fr)); gap: 16px 24px; }
figure { margin: 0; min-width: 0; max-width: 560px; display: flex; flex-direction: column; }
figure svg { margin-top: auto; }
.unit, .none { color: var(--soft); font-size: 13px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 2px 0; padding: 0; list-style: none; font-size: 13px; }
.key { display: inline-block; width: 14px; height: 3px; margin-right: 5px; vertical-align: 4px; border-radius: 2px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font-size: 12px; font-variant-numeric: tabular-nums; }
.value { text-anchor: end; } .time { text-anchor: middle; }
.grid { stroke: var(--grid); }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.strip { fill: transparent; } .strip:hover { fill: var(--ink); fill-opacity: 0.08; }
${[...'01234567'].map((n) => `.line.c${n} { stroke: var(--c${n}); } .key.c${n} { background: var(--c${n}); }`).join('\n')}
${[...'012'].map((n) => `.line.p${n} { stroke: var(--p${n}); } .key.p${n} { background: var(--p${n}); }`).join('\n')}
.scroll { overflow-x: auto; margin-top: 14px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px 4px 0; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { color: var(--soft); font-weight: 500; text-align: left; }
th.number, td.number { text-align: right; }
.finding { margin: 8px 0; padding: 8px 12px; border-left: 3px solid var(--bad); background: var(--page); }
.finding summary { overflow-wrap: anywhere; }
pre { margin: 8px 0 0; overflow-x: auto; font: 13px/1.5 ui-monospace, monospace; }
@media (max-width: 600px) { body { padding: 12px 10px 32px; } section { padding: 12px; } }
`;
