# SPDX-License-Identifier: GPL-2.0-only
"""The report's style: light and dark, narrow and printed, one element for all files; no request to anywhere."""

from __future__ import annotations

STYLE = """<style>
:root { color-scheme: light dark; --ground: #fff; --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; --soft: #f6f8fa;
  --link: #0550ae; --pass: #116329; --fail: #a40e26; --doubt: #7d4e00; --known: #6639ba; --none: #0a5c75; }
* { box-sizing: border-box; }
body { background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  padding: 8px 20px 40px; max-width: 1400px; }
h1 { font-size: 20px; font-weight: 600; margin: 12px 0; }
h2 { font-size: 18px; margin: 0; } h3 { font-size: 15px; margin: 12px 0 6px; }
a { color: var(--link); }
code, pre { font: 13px/1.45 ui-monospace, monospace; }
.skip { position: absolute; left: -999em; background: var(--ground); padding: 8px; }
.skip:focus { left: 8px; }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.verdict { padding: 10px 16px; margin: 8px 0; border: 1px solid var(--line); border-left: 8px solid currentColor;
  border-radius: 4px; background: var(--soft); overflow-wrap: anywhere; }
.verdict p, .verdict ul, .verdict details { color: var(--ink); margin: 4px 0; } .verdict h2 { font-size: 20px; }
.conformant { color: var(--pass); } .non_conformant { color: var(--fail); }
.inconclusive { color: var(--doubt); } .not_implemented { color: var(--none); }
nav ul, .legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; }
.chapter { margin-top: 36px; } .chapter > h2 { border-bottom: 1px solid var(--line); padding-bottom: 4px; }
.wide { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; border: 0; }
caption { text-align: left; color: var(--quiet); padding: 4px 0; }
th, td { border: 1px solid var(--line); padding: 4px 8px; text-align: left; vertical-align: top; font-weight: normal; }
thead th, th[scope=rowgroup] { background: var(--soft); font-weight: 600; }
.matrix th[scope=row] { min-width: 18em; max-width: 60em; } .matrix thead th { min-width: 7em; max-width: 14em; }
.environment td, .services td { overflow-wrap: anywhere; min-width: 9em; } .differences td { min-width: 13em; }
.environment td { max-width: 42em; }
.services .closed { color: var(--quiet); } .said { color: var(--quiet); font-size: 13px; }
.id { font-weight: 600; white-space: nowrap; }
.state { white-space: nowrap; } .state a { color: inherit; }
.passed { color: var(--pass); } .failed { color: var(--fail); font-weight: 600; } .error { color: var(--doubt); }
.known-deviation { color: var(--known); } .not-applicable, .not-run, .source { color: var(--quiet); }
td.failed, td.error, td.known-deviation { background: color-mix(in srgb, currentColor 9%, transparent); }
.finding { border-left: 4px solid currentColor; padding: 2px 14px; margin: 20px 0; }
.finding h3, .finding dl, .finding pre, .finding details { color: var(--ink); font-weight: normal;
  overflow-wrap: anywhere; }
.finding h3 { font-weight: 600; margin: 0 0 6px; }
.finding dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 14px; margin: 8px 0; }
.finding dt { color: var(--quiet); } .finding dd { margin: 0; }
pre { background: var(--soft); border: 1px solid var(--line); padding: 8px 10px; margin: 6px 0; overflow: auto;
  max-height: 32em; white-space: pre; tab-size: 8; }
.bits code { white-space: nowrap; letter-spacing: 1px; } .bits caption { overflow-wrap: anywhere; }
.bits .default { font-weight: bold; background: var(--ink); color: var(--ground); padding: 0 2px; }
.bits .supported { border: 1px solid var(--ink); padding: 0 1px; } .bits .reserved { color: var(--quiet); }
.tests code { font-size: 12px; } .tests div { color: var(--quiet); margin: 0 0 6px 16px; }
.tests { list-style: none; padding-left: 8px; overflow-wrap: anywhere; }
details { margin: 3px 0; } summary { cursor: pointer; }
:target { scroll-margin-top: 12px; outline: 2px solid var(--link); outline-offset: 3px; }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --ink: #e6edf3; --quiet: #9198a1; --line: #3d444d;
  --soft: #151b23; --link: #79b8ff; --pass: #56d364; --fail: #ff8a80; --doubt: #e3b341; --known: #d2a8ff;
  --none: #76c7e0; } }
@media (max-width: 600px) { body { padding: 4px 10px 30px; } .finding { padding: 2px 8px; }
  .finding dl { display: block; } .finding dd { margin: 0 0 6px; } .verdict h2 { font-size: 17px; }
  .bits code { white-space: normal; }
  .matrix th[scope=row] { min-width: 11em; max-width: 14em; overflow-wrap: anywhere; } th, td { padding: 3px 5px; } }
@media print { :root { --ground: #fff; --ink: #000; --quiet: #444; --line: #999; --soft: #fff; --link: #000;
  --pass: #000; --fail: #000; --doubt: #000; --known: #000; --none: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; } nav, .skip, .controls, #all-results { display: none; }
  pre { max-height: none; white-space: pre-wrap; overflow: visible; } .wide { overflow: visible; }
  .verdict, .finding h3, tr { break-inside: avoid; } h2, h3, caption { break-after: avoid; }
  .finding details::details-content { content-visibility: visible; block-size: auto; }
  .bits code { font-size: 7pt; letter-spacing: 0; } .services code, .matrix { font-size: 8pt; } }
</style>
"""
