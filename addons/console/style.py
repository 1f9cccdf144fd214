"""How every page of the console looks: one style sheet, in the page itself and named in its policy by its digest.

Calm and dense, with the system's own fonts; light or dark as the reader has it. Nothing is said by colour alone.
"""

from __future__ import annotations

import base64
import hashlib

STYLE = """
:root{color-scheme:light dark;--page:light-dark(#f6f7f9,#14171c);--card:light-dark(#fff,#1c2027);
--line:light-dark(#d5d9e0,#363c47);--text:light-dark(#1b1f26,#e6e9ee);--soft:light-dark(#545c69,#a5adba);
--link:light-dark(#0b57a8,#8cc2ff);--go:light-dark(#1b6e3c,#26794a);--stop:light-dark(#a4262c,#bb3d43);
--calm:light-dark(#e3f2e8,#1d3a29);--warm:light-dark(#fdf0d2,#453610);--hot:light-dark(#fbe3e4,#4d2224);
background:var(--page);color:var(--text);font:15px/1.45 system-ui,sans-serif}
*{box-sizing:border-box}
body{margin:0;overflow-wrap:anywhere}
a{color:var(--link);text-underline-offset:.15em}
header{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:center;padding:.4rem max(1rem,50vw - 32rem);
background:var(--card);border-bottom:1px solid var(--line)}
header form{margin:0}header>span{color:var(--soft);font-size:.85rem}
.brand{font-weight:700;letter-spacing:.01em;color:var(--text);text-decoration:none}
nav{flex:1 1 12rem;display:flex;flex-wrap:wrap;gap:0 .15rem}
nav a{padding:.35rem .55rem;border-radius:.35rem;text-decoration:none}nav a:hover{text-decoration:underline}
nav a[aria-current]{color:var(--text);font-weight:600;box-shadow:inset 0 -2px var(--link);border-radius:0}
main{max-width:66rem;margin:0 auto;padding:.25rem 1rem 3rem}
body>main:first-of-type:last-child{padding-top:.25rem}
h1{font-size:1.35rem;margin:.9rem 0 .6rem}h2{font-size:1.05rem;margin:1.3rem 0 .4rem}p{margin:.45rem 0}
ul.items{list-style:none;padding:0;margin:.6rem 0}
ul.items>li{background:var(--card);
border:1px solid var(--line);border-radius:.45rem;padding:.55rem .8rem;margin:.5rem 0}
ul.items>li>p{margin:.1rem 0;color:var(--soft);font-size:.92rem}
ul.items>li>p:first-child{color:var(--text);font-size:1rem;font-weight:600}
ul.items form{margin:.4rem 0 0;display:flex;flex-wrap:wrap;gap:.4rem .6rem;align-items:end}
ul.items label{flex:0 1 32rem;margin:0;font-size:.85rem}
dl{display:grid;grid-template-columns:minmax(6rem,10rem) 1fr;gap:.3rem 1rem;background:var(--card);margin:.6rem 0;
border:1px solid var(--line);border-radius:.45rem;padding:.7rem .9rem}
dt{color:var(--soft)}dd{margin:0}dd,pre,bdi{white-space:pre-wrap}
pre,code,.mono{font:.86rem/1.5 ui-monospace,monospace}
pre{background:var(--card);border:1px solid var(--line);border-radius:.45rem;padding:.6rem 0;overflow-wrap:anywhere}
pre>span{display:block;padding:0 .8rem}
.add{background:var(--calm)}.del{background:var(--hot)}
.scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:.45rem;margin:.6rem 0}
table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.4rem .7rem;border-bottom:1px solid var(--line)}
tr:last-child td{border-bottom:0}th{color:var(--soft);font-weight:600;white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
.badge{display:inline-block;padding:.02rem .5rem;border:1px solid var(--line);border-radius:1rem;font-size:.85rem;
font-weight:600;white-space:nowrap}
.badge.calm{background:var(--calm)}.badge.warm{background:var(--warm)}.badge.hot{background:var(--hot)}
form{margin:.5rem 0}label{display:block;margin:.4rem 0;color:var(--soft)}
input,select{display:block;width:100%;max-width:32rem;margin-top:.15rem;background:var(--card);color:var(--text);
border:1px solid light-dark(#80889a,#6d7686)}
input[type=checkbox],input[type=radio]{display:inline-block;width:auto;margin:0 .4rem 0 0}
input,button,select{font:inherit;padding:.38rem .7rem;border-radius:.35rem}
button{cursor:pointer;background:var(--card);color:var(--text);border:1px solid light-dark(#80889a,#6d7686)}
button.go{background:var(--go);border-color:var(--go);color:#fff;font-weight:600}
button.stop{background:var(--stop);border-color:var(--stop);color:#fff;font-weight:600}
button:hover{filter:brightness(1.08)}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.skip{position:absolute;left:-100rem;background:var(--card);padding:.4rem .8rem}.skip:focus{left:1rem;top:.3rem}
body.narrow{max-width:36rem;margin:3rem auto 0}
@media(max-width:34rem){dl{grid-template-columns:1fr;gap:0}dt{margin-top:.4rem}button{padding:.55rem 1rem}}
@media(prefers-reduced-motion:no-preference){button{transition:filter .1s}}
""".replace("\n", "")

DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
SOURCE = f"'sha256-{DIGEST}'"
"""For `style-src`. Source: Content Security Policy Level 3, section 2.3.1."""
