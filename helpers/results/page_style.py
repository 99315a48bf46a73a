# SPDX-License-Identifier: GPL-2.0-only
"""The report's style: light and dark, narrow and printed, one element for all files; no request to anywhere."""

from __future__ import annotations

STYLE = """<style>
:root { --ground: #fff; --ink: #1f2328; --quiet: #59636e; --line: #d1d9e0; --soft: #f6f8fa; --link: #0550ae;
  --pass: #116329; --fail: #a40e26; --doubt: #7d4e00; --known: #6639ba; }
body { background: var(--ground); color: var(--ink); min-width: 0; font: 14px/1.45 system-ui, sans-serif;
  margin: 0 auto; padding: 8px 16px; max-width: 1500px; }
.verdict { color: #fff; padding: 12px 18px; margin: 8px 0; border-radius: 6px; border: 2px solid var(--ink); }
.verdict h2, .verdict p, .verdict li { color: #fff; margin: 4px 0; overflow-wrap: anywhere; }
.verdict h2 { font-size: 22px; }
.verdict.conformant { background: #116329; } .verdict.non_conformant { background: #a40e26; }
.verdict.inconclusive { background: #7d4e00; } .verdict.not_implemented { background: #0a5c75; }
nav ul, .legend { display: flex; flex-wrap: wrap; gap: 4px 18px; list-style: none; padding: 0; }
.chapter h2 { border-bottom: 1px solid var(--line); }
.chapter a, nav a { color: var(--link); }
a:focus-visible, summary:focus-visible, pre:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.wide { overflow-x: auto; }
.chapter table { border-collapse: collapse; color: var(--ink); }
.chapter caption { text-align: left; color: var(--quiet); padding: 4px 0; }
.chapter th, .chapter td { border: 1px solid var(--line); padding: 4px 8px; text-align: left; vertical-align: top;
  font-weight: normal; }
.chapter thead th, .chapter th[scope=rowgroup] { background: var(--soft); font-weight: bold; }
.matrix th[scope=row] { min-width: 18em; max-width: 60em; }
.id { font-weight: bold; white-space: nowrap; }
.state { white-space: nowrap; } .state a { color: inherit; }
.passed { color: var(--pass); } .failed { color: var(--fail); font-weight: bold; } .error { color: var(--doubt); }
.known-deviation { color: var(--known); } .not-applicable, .not-run, .source { color: var(--quiet); }
.finding { border-left: 5px solid currentColor; padding: 2px 12px; margin: 12px 0; }
.finding h3, .finding dl, .finding pre { color: var(--ink); font-weight: normal; overflow-wrap: anywhere; }
.finding h3 { font-weight: bold; font-size: 15px; }
.finding dt { color: var(--quiet); float: left; clear: left; width: 8em; } .finding dd { margin-left: 8em; }
.finding pre { background: var(--soft); padding: 8px; overflow-x: auto; max-height: 30em; }
.bits code { white-space: nowrap; letter-spacing: 1px; font-size: 13px; } .bits caption { overflow-wrap: anywhere; }
.bits .default { font-weight: bold; background: var(--ink); color: var(--ground); padding: 0 2px; }
.bits .supported { border: 1px solid var(--ink); padding: 0 1px; } .bits .reserved { color: var(--quiet); }
.tests { list-style: none; padding-left: 8px; overflow-wrap: anywhere; }
details { margin: 3px 0; } summary { cursor: pointer; }
:target { scroll-margin-top: 12px; background: var(--soft); }
@media (prefers-color-scheme: dark) { :root { --ground: #0d1117; --ink: #e6edf3; --quiet: #9198a1; --line: #3d444d;
  --soft: #151b23; --link: #79b8ff; --pass: #56d364; --fail: #ff8a80; --doubt: #e3b341; --known: #d2a8ff; } }
@media (max-width: 600px) { .finding dt { float: none; } .finding dd { margin-left: 0; }
  .matrix th[scope=row] { min-width: 11em; } body { padding: 4px 8px; } }
@media print { body { max-width: none; } .verdict { color: #000; background: none !important; }
  .verdict h2, .verdict p, .verdict li { color: #000; } nav { display: none; } .finding pre { max-height: none; }
  .wide { overflow: visible; } .finding, tr { break-inside: avoid; } }
</style>
"""
