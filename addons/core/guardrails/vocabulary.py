"""The variables of the rule language in words, for the reference; their types are in `cel`, their values in `facts`."""

from __future__ import annotations

from collections.abc import Mapping

DESCRIPTIONS: Mapping[str, str] = {
    "object": "what the write results in (patches and protobuf are read by the API server in a dry run); null for"
    " reads, deletes and streams",
    "oldObject": "what is there now, for update, patch and delete; null when there is nothing",
    "podSpecs": "every PodSpec of `object`: pods, workloads, cron jobs, templates, debug containers, custom resources",
    "containers": "containers, init containers and ephemeral containers of all `podSpecs`",
    "request": '`operation` (CREATE, UPDATE, DELETE, CONNECT or `""`), `resource.group`, `.version`, `.resource`,'
    " `subResource`, `namespace`, `name`, `dryRun`, `userInfo` (`username`, `groups`); and `verb`, `method`, `path`,"
    " `parts`, `fieldSelector`, `labelSelector`, `query` (lists of values by key)",
    "exec": "`argv`, `line` (argv joined by spaces), `program`, `programs` (behind `env`, `sh -c` and the like too),"
    " `shell`, `script` (the text after `-c`), `transfers` (ways in which plain commands move files: `in`, `out`),"
    " `container`, `stdin`, `tty`, `ports`",
    "identity": "`iss`, `sub`, `aud`, `groups`, `act`, `owner`, `username`, `claims`",
    "grant": "`id`, `role`, `intent`, `grantedBy`, `notBefore`, `expires` (texts: `timestamp(grant.expires)`)",
    "connection": "the connection's name",
    "now": "the time",
    "frozen": "names of the [freeze windows](#freezewindow) this request falls into now",
    "rate": "`requests`, `writes`, `lists` (watches too), `denied` (refused with 403): how many this identity made on"
    " this connection in the last 60 seconds, this one included; exact to 5 seconds, counted per machine",
    "affected": "how many objects a deletecollection reaches: a list with the same selectors, as the same role; with a"
    " selector, more than 500 are 501; 1 for every other request",
}
