"""The play: what an agent does, what comes of it, and what is left of it afterwards.  Every fact told is checked."""

import base64
import json
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mitmproxy.http import HTTPFlow
from mitmproxy.io import FlowReader

from scripts.devenv.demo_actors import Agent, Person, files_holding
from scripts.devenv.demo_events import Event, gist, note, of_object, read_events, readable
from scripts.devenv.demo_narrator import Differs, Narrator
from scripts.devenv.demo_stage import AGENT, APPROVER, INTENT, PASSWORD_KEY, PODS, SECRET, Stage

BINDING = "agent-is-root"
SAID = ("disk: ok", "queue: ok", "orders answered: 42")
# Slow enough for a replay to have a rhythm.
SCRIPT = "; sleep 0.4; ".join(f"echo {line}" for line in SAID)
_ASKED_SECONDS = _WATCHED_SECONDS = 20.0
_PENDING = re.compile(rf"^(\w+)  pending .*{AGENT}", re.MULTILINE)


class Play:
    """One performance on a stage that is set."""

    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self._stage, self._narrator = stage, narrator
        self._fact = narrator.fact
        self._agent = Agent(stage, narrator)
        self._approver = Person(stage, narrator, token=stage.approver_token)
        self._session = ""
        self._binding = "deny"

    def run(self) -> list[str]:
        """What differed from what is told; nothing, on a good day.  The first difference ends its scene only."""
        scenes: Sequence[tuple[str, Callable[[], None]]] = [
            ("The agent looks around", self.look_around),
            ("It reads a Secret, and sees that there is one", self.read_a_secret),
            ("It tries to become root of the cluster", self.bind_cluster_admin),
            ("It runs a command in a pod, once a human agrees", self.exec_with_approval),
            ("What happened in there is replayed", self.replay),
            ("What is on record", self.audit),
            ("And to look at every byte", self.open_in_mitmweb),
        ]
        differences = []
        for number, (title, scene) in enumerate(scenes, 1):
            self._narrator.heading(f"{number}. {title}")
            try:
                scene()
            except Differs as difference:
                differences.append(f"{number}. {title}: {difference}")
        return differences

    def look_around(self) -> None:
        """A plain list, and under whose name it reached the cluster."""
        done = self._agent.kubectl("get", "pods")
        self._why(
            f"the token says {AGENT} of group agents, that group has a role on this cluster, and no rule minds a list."
        )
        self._fact(done.returncode == 0 and all(pod in done.stdout for pod in PODS), "the pods are listed", done.stdout)
        if events := self._api_audit("list", "pods"):
            name = str(events[-1]["user"]["username"])
            told = f"the cluster saw the role session {name.partition('assumed-role/')[2]}, never the agent's token"
            self._fact(f"/{AGENT}-" in name, told, name)

    def read_a_secret(self) -> None:
        """Masked on the way: keys, no values, in every place that holds a copy."""
        done = self._agent.kubectl("get", "secret", SECRET, "-o", "yaml")
        self._why("masking replaces what rules/masking names before the agent, or any record, can see it.")
        self._fact(done.returncode == 0 and f"{PASSWORD_KEY}:" in done.stdout, "the keys are there", done.stdout)
        self._fact(
            not self._holds_password(done.stdout),
            "the password is not, neither in data nor in the copy that kubectl apply keeps in an annotation",
            done.stdout,
        )
        true = self._stage.admin("get", "secret", SECRET, f"--namespace={self._stage.namespace}", "-o", "json")
        stored = json.loads(true)["data"][PASSWORD_KEY]
        self._fact(self._holds_password(stored), "in the cluster it is what it was", "another value")

    def bind_cluster_admin(self) -> None:
        """Refused, with a message that says what to do instead."""
        account = f"--serviceaccount={self._stage.namespace}:default"
        done = self._agent.kubectl("create", "clusterrolebinding", BINDING, "--clusterrole=cluster-admin", account)
        if self._stage.api_audit_log is None and "is forbidden: User" in done.stdout:
            # A role of somebody's own cluster may well have no right to bind anything.
            self._binding = "refuse"
            self._why("the gateway asks the cluster what a write would result in, and this role may not even ask.")
            self._fact(done.returncode != 0, "the agent gets the cluster's own answer", done.stdout)
        else:
            self._why("the rule no-cluster-admin-bindings in rules/guardrails weighs 95; from 90 on, it is denied.")
            actionable = ("rule: no-cluster-admin-bindings", "do instead: ", "retry: no", "reference: ")
            self._fact(
                done.returncode != 0 and all(text in done.stdout for text in actionable),
                "the agent learns which rule, why, what to do instead, whether to retry, and a reference to quote",
                done.stdout,
            )
        found = self._stage.admin.attempt("get", "clusterrolebinding", BINDING, "--ignore-not-found", "-o", "name")
        self._fact((found.returncode, found.stdout) == (0, ""), "the cluster has no such binding", found.stdout)
        if self._stage.api_audit_log:
            asked = [event["requestURI"] for event in self._api_audit("create", "clusterrolebindings", BINDING)]
            tried = [uri for uri in asked if "dryRun=All" not in uri]
            self._fact(not tried, "nothing that could have made one reached the cluster", tried)

    def exec_with_approval(self) -> None:
        """Held until somebody else says yes; who asks may not."""
        command = ("exec", PODS[0], "--", "sh", "-c", SCRIPT)
        with self._agent.start(*command) as waiting:
            try:
                approval = self._asked(waiting)
                self._seen_waiting(approval)
                self._approve(approval)
            except BaseException:
                waiting.kill()
                raise
            self._narrator.line(f"\n  meanwhile, {AGENT}'s command goes on:")
            done = self._agent.finish(waiting)
        if f"approval {approval} is still waiting" in done.stdout:
            self._narrator.why("the answer took longer than a request is held; now the same command finds it.")
            done = self._agent.kubectl(*command)
        self._why("the request that was approved is let through, once, and what it prints is masked and recorded.")
        self._fact(done.returncode == 0, "after that the command runs, and ends well", done.stdout)
        self._fact(all(line in done.stdout for line in SAID), "the agent has its output", done.stdout)

    def replay(self) -> None:
        """From the asciicast, in the time it took."""
        listed = self._approver.chaperone("sessions", "list")
        ours = [line.split()[0] for line in listed.stdout.splitlines() if f" {AGENT} on " in line]
        self._fact(len(ours) == 1, "all that the agent did is one session", listed.stdout)
        self._session = ours[0]
        done = self._approver.chaperone("sessions", "play", self._session)
        self._why("every exec is written as an asciicast, as masked as the agent saw it.")
        self._fact(all(line in done.stdout for line in SAID), "the replay shows what the agent was shown", done.stdout)
        self._fact("[exit status 0]" in done.stdout, "and how it ended", done.stdout)

    def audit(self) -> None:
        """One audit event for each call, refused ones included; and what is in no file."""
        folder = self._folder()
        events = read_events(folder / "audit.jsonl")
        self._narrator.line(f"\n  {folder / 'audit.jsonl'}", "bold")
        final = [event for event in events if event["stage"] == "ResponseComplete" and "objectRef" in event]
        for event in final:
            self._narrator.line(f"    {readable(event)}")
        self._why("an event is on disk before its request is forwarded, in the form of the cluster's own audit log.")
        kinds = {(event["apiVersion"], event["kind"]) for event in events}
        self._fact(
            kinds == {("audit.k8s.io/v1", "Event")}, f"{len(events)} audit.k8s.io/v1 Events, all readable", kinds
        )
        for told, wanted in [
            ("the list was allowed", ("list", "pods", "", "allow", 200)),
            ("the Secret was allowed, and masked", ("get", "secrets", "", "allow", 200)),
            ("the binding was refused", ("create", "clusterrolebindings", "", self._binding, 403)),
            ("the exec needed an approval", ("get", "pods", "exec", "require_approval", 101)),
        ]:
            self._fact(wanted in map(gist, final), told, [gist(event) for event in final])
        approved = [event for event in final if note(event, "approval-state") == "consumed"]
        approvers = {note(event, "approver").rpartition("#")[2] for event in approved}
        self._fact(approvers == {APPROVER}, f"by {APPROVER}, it says", approvers)
        if self._stage.api_audit_log:
            ids = {event["auditID"] for event in final if event["responseStatus"]["code"] < 400}
            known = {event["auditID"] for event in self._api_audit()}
            self._fact(ids <= known, "the cluster's own audit log has the same ids", ids - known)
        self._no_secret_in_any_file()

    def open_in_mitmweb(self) -> None:
        """The command that shows the flow file."""
        session = self._session or self._folder().name
        done = self._approver.chaperone("sessions", "open", session, "--print", whole=True)
        self._why("the flow file holds scrubbed copies; mitmweb reads it in a process that cannot reach any traffic.")
        [flow_file] = re.findall(r"\S+\.mitm", done.stdout) or [""]
        told = "that is the flow file; without --print it opens in a browser, also when all else here is stopped"
        self._fact(done.returncode == 0 and Path(flow_file).is_file(), told, done.stdout)
        with Path(flow_file).open("rb") as file:
            flows = [flow for flow in FlowReader(file).stream() if isinstance(flow, HTTPFlow)]
        refused = [flow for flow in flows if flow.response and flow.response.status_code == 403]
        told = f"{len(flows)} exchanges are in it, the refused one too"
        self._fact(len(flows) > len(refused) > 0, told, f"{len(flows)} exchanges, {len(refused)} refused")

    def _seen_waiting(self, approval: str) -> None:
        """In what `chaperone watch` follows, which is written now and then."""
        wanted, deadline = f"chaperone approvals approve {approval}".encode(), time.monotonic() + _WATCHED_SECONDS
        while wanted not in (kept := self._watched()) and time.monotonic() < deadline:
            time.sleep(0.1)
        told = "`chaperone watch` shows it in mitmweb meanwhile, marked as waiting, with the command that decides it"
        self._fact(wanted in kept, told, f"{len(kept)} bytes without it")

    def _watched(self) -> bytes:
        return b"".join(file.read_bytes() for file in (self._stage.gateway.state_dir / "live").glob("*.mitm"))

    def _asked(self, waiting: subprocess.Popen[str]) -> str:
        """The id of the approval that the agent's command waits for, found as the approver finds it."""
        deadline = time.monotonic() + _ASKED_SECONDS
        while not (asked := _PENDING.findall((listed := self._approver.quietly("approvals", "list")).stdout)):
            if waiting.poll() is not None:
                raise Differs(f"the command did not wait but ended: {self._agent.finish(waiting).stdout.strip()}")
            if listed.returncode != 0 or time.monotonic() > deadline:
                raise Differs(f"no question came up; `chaperone approvals list` says: {listed.stdout.strip()}")
        self._why("exec weighs 60 and a shell 75; from 50 on a human is asked, and the request waits.")
        self._approver.show(listed)
        self._fact(len(asked) == 1, "it waits for an approval", listed.stdout)
        shown = self._approver.chaperone("approvals", "show", asked[0])
        told = "the approver sees who, what, which rule, and the agent's intent"
        self._fact(all(text in shown.stdout for text in (AGENT, INTENT, "exec-shell")), told, shown.stdout)
        return str(asked[0])

    def _approve(self, approval: str) -> None:
        own = Person(self._stage, self._narrator, name=AGENT, token=self._stage.agent_token)
        refused = own.chaperone("approvals", "approve", approval)
        self._fact(refused.returncode != 0, "the agent itself may not", refused.stdout)
        done = self._approver.chaperone("approvals", "approve", approval, "--note", "go ahead")
        self._fact(done.returncode == 0, "somebody else may, under their own name", done.stdout)

    def _no_secret_in_any_file(self) -> None:
        gateway, password = self._stage.gateway, self._stage.password
        secrets = {
            "the agent's token": self._stage.agent_token,
            "the approver's token": self._stage.approver_token,
            "a token for the cluster": "k8s-aws-v1.",
            "the password": password,
            "the password in base64": base64.b64encode(password.encode()).decode(),
        }
        found = {
            name: holding
            for name, secret in secrets.items()
            if (holding := files_holding(gateway.state_dir, secret) + files_holding(gateway.log, secret))
        }
        self._fact(not found, "no token and no password is in any file that the gateway wrote", found)

    def _why(self, text: str) -> None:
        self._narrator.why(text)

    def _holds_password(self, text: str) -> bool:
        password = self._stage.password
        return password in text or base64.b64encode(password.encode()).decode() in text

    def _folder(self) -> Path:
        folders = [path.parent for path in self._stage.gateway.state_dir.glob("sessions/*/audit.jsonl")]
        if not folders:
            raise Differs("no session was recorded")
        return next((path for path in folders if path.name == self._session), folders[0])

    def _api_audit(self, verb: str = "", resource: str = "", name: str = "") -> list[Event]:
        """What the API server itself wrote down of this; nothing for a cluster whose log is not ours to read."""
        log = self._stage.api_audit_log
        return [] if log is None else of_object(log, verb, resource, name)
