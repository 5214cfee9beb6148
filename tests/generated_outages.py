"""Outages with their truth, which no world tells: those that ship, and any number of others from seeds.

    world, truths = vary(7)         # a world as plain data, and what is really wrong in it

A truth names the cause, the functions that it keeps from working, and how long ago it began. Whatever else such a world
tells is noise or a decoy: it keeps nothing from working. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from cronsim import CronSim

from gcp_sandbox.world.inventory import Function, Inventory
from runbook.config.load import load_settings


class Truth(NamedTuple):
    """What is wrong: `also` are causes that the same evidence allows to say."""

    cause: str
    functions: tuple[str, ...]
    since: timedelta
    also: tuple[str, ...] = ()


World = dict[str, Any]


@cache
def inventory() -> Inventory:
    """The practice system, as the sandbox gets it."""
    return Inventory.model_validate(load_settings("sandbox").inventory())


def _named(*parts: str) -> tuple[str, ...]:
    return tuple(f.name for f in inventory().functions if not parts or any(part in f.name for part in parts))


def _ago(minutes: int) -> timedelta:
    return timedelta(minutes=minutes)


_SALESFORCE = _named("salesforce")
SHIPPED: dict[str, tuple[Truth, ...]] = {
    "p1_stuck_etl": (Truth("stuck_etl", ("gmail-sync",), _ago(480)),),
    "p1_auth_expired": (Truth("auth_error", (*_SALESFORCE, "recommendations-export"), _ago(240)),),
    "p1_secret_disabled": (Truth("secret", _named("hubspot"), _ago(255)),),
    "p1_permission_changed": (
        Truth("permission", _named("gmail", "calendar", "entity", "embeddings", "scoring", "export"), _ago(160)),
    ),
    "p1_unauthenticated": (Truth("permission", _named(), _ago(490), also=("auth_error",)),),
    "p1_quota_seconds": (Truth("quota", ("hubspot-contacts-sync",), _ago(780)),),
    "p1_quota_hours": (Truth("quota", _SALESFORCE, _ago(240)),),
    "p1_memory_limit": (Truth("memory_limit", ("account-scoring",), _ago(120)),),
    "p1_timeout": (Truth("timeout", ("embeddings",), _ago(180)),),
    "p1_crash_after_deploy": (Truth("crash_after_deploy", ("gmail-sync",), _ago(175)),),
    "p1_bad_data": (Truth("bad_data", ("salesforce-opportunities-sync",), _ago(240)),),
    "p1_schema_change": (Truth("bad_data", ("hubspot-contacts-sync",), _ago(330)),),
    "p1_dependency_outage": (Truth("dependency_outage", _named("hubspot"), _ago(70)),),
    "p1_paused_scheduler": (Truth("paused_scheduler", ("calendar-sync",), _ago(660)),),
    "p1_capacity": (Truth("capacity", ("gmail-sync", "calendar-sync"), _ago(200)),),
    "p1_region_outage": (Truth("region_outage", _named("gmail", "calendar", "scoring", "export"), _ago(120)),),
    "p1_unknown": (Truth("unknown", ("hubspot-companies-sync",), _ago(780)),),
    "p1_two_causes": (
        Truth("memory_limit", ("account-scoring",), _ago(120)),
        Truth("auth_error", (*_SALESFORCE, "recommendations-export"), _ago(240)),
    ),
    "p1_two_more": (
        Truth("dependency_outage", _named("hubspot"), _ago(80)),
        Truth("crash_after_deploy", ("gmail-sync",), _ago(280)),
    ),
}


class Scene:
    """One world on its way: the clock, who is taken already, and what it tells so far."""

    def __init__(self, rng: Random):
        self.rng = rng
        day = datetime(2026, 1, 12, tzinfo=UTC) + timedelta(days=rng.randrange(200))
        self.now = day + timedelta(hours=rng.randint(13, 22), minutes=rng.randrange(60))
        self.world: World = {"now": self.now}
        self.taken: set[str] = set()
        self.truths: list[Truth] = []

    def tell(self, part: str, **said: Any) -> None:
        self.world.setdefault(part, []).append(said)

    def called(self, function: Function, since: timedelta) -> list[datetime]:
        """When its job was due in the last so long, newest first."""
        ticks = CronSim(function.schedule, self.now.astimezone(ZoneInfo(inventory().time_zone)), reverse=True)
        found = []
        for tick in ticks:
            if tick < self.now - since:
                return found
            found.append(tick.astimezone(UTC))
        return found

    def settled(self, functions: Iterable[Function]) -> bool:
        """Whether none of them was called just now: what became of a call takes up to nine minutes."""
        return not any(self.called(f, timedelta(minutes=12)) for f in functions)

    def began(self, functions: Sequence[Function], calls: int = 3) -> timedelta:
        """A beginning after which at least one of them, and each of a single one, was called once or more often."""
        due = sorted(
            self.called(f, timedelta(days=2))[self.rng.randrange(calls if _hourly(f) else 1)] for f in functions
        )
        return _minutes(self.now - due[0] + timedelta(minutes=self.rng.randint(4, 25)))

    def hit(self, functions: Sequence[Function], since: timedelta) -> tuple[Function, ...]:
        return tuple(f for f in functions if self.called(f, since))

    def pick(self, among: Callable[[Function], bool] = lambda _: True) -> Function:
        """One function that nothing is wrong with so far, and that is not being called right now."""
        return self.rng.choice([f for f in self.free() if among(f) and self.settled([f])])

    def free(self) -> list[Function]:
        return [f for f in inventory().functions if f.name not in self.taken]

    def true(self, cause: str, functions: Sequence[Function], since: timedelta, also: tuple[str, ...] = ()) -> None:
        self.taken |= {f.name for f in functions}
        self.truths.append(Truth(cause, tuple(f.name for f in functions), since, also))


class NotHere(Exception):
    """This cause finds nothing that it could keep from working at that time."""


def _hourly(function: Function) -> bool:
    return function.schedule.split()[1] == "*"


def _minutes(ago: timedelta) -> timedelta:
    return timedelta(minutes=round(ago.total_seconds() / 60))


def said(ago: timedelta) -> str:
    """A duration as a world writes it."""
    return f"{round(ago.total_seconds())}s"


def _one(cause: str, kind: str, among: Callable[[Function], bool] = lambda _: True) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        function = scene.pick(among)
        since = scene.began([function])
        told = {"outcome": "failed"} if kind in ("memory", "timeout") and scene.rng.random() < 0.3 else {}
        scene.tell("runs", select={"name": function.name}, since=said(since), kind=kind, **told)
        scene.true(cause, [function], since)

    return make


def _group(scene: Scene, groups: Sequence[Callable[[Function], bool]]) -> tuple[list[Function], timedelta]:
    """Functions that belong together, and a beginning; those that it hits are free and settled."""
    for group in scene.rng.sample(groups, len(groups)):
        whole = [f for f in inventory().functions if group(f)]
        since = scene.began(whole[:1])
        found = scene.hit(whole, since)
        if found and scene.settled(whole) and not {f.name for f in whole} & scene.taken:
            return list(found), since
    raise NotHere


def _with_secret(name: str) -> Callable[[Function], bool]:
    return lambda f: name in f.secrets


def _system(*names: str) -> Callable[[Function], bool]:
    return lambda f: f.source_system in names


_SECRETS = ("gmail-oauth-token", "salesforce-client-secret", "hubspot-api-key")


def _auth(scene: Scene) -> None:
    functions, since = _group(scene, [_with_secret(name) for name in _SECRETS])
    scene.tell("runs", select=_select(functions), since=said(since), kind="auth")
    scene.true("auth_error", functions, since)


def _secret(scene: Scene) -> None:
    functions, since = _group(scene, [_with_secret(name) for name in _SECRETS])
    name = next(s for s in functions[0].secrets if s in _SECRETS)
    scene.tell("runs", select=_select(functions), since=said(since), kind="secret")
    state, days = scene.rng.choice(["DISABLED", "DISABLED", "DESTROYED"]), scene.rng.randint(20, 150)
    newest = {"age": f"{days}d", "state": state, "changed": said(since), "by": _somebody(scene)}
    older = {"age": f"{days + 200}d", "state": "DISABLED", "changed": f"{days - 2}d"}
    scene.tell("secrets", name=name, versions=[older, newest])
    scene.true("secret", functions, since)


def _permission(scene: Scene) -> None:
    everything = list(inventory().functions)
    if scene.taken or not scene.settled(everything):
        raise NotHere
    since = scene.began([scene.pick()])
    inbound = scene.rng.random() < 0.4
    role, kind = ("roles/run.invoker", "unauthenticated") if inbound else ("roles/editor", "permission")
    scene.tell("runs", select={}, since=said(since), kind=kind)
    scene.tell("grants", action="REMOVE", role=role, age=said(since + _ago(2)), by=_somebody(scene))
    scene.true("permission", scene.hit(everything, since), since, ("auth_error",) if inbound else ())


def _quota(scene: Scene) -> None:
    if scene.rng.random() < 0.5:
        _one("quota", "quota_seconds", lambda f: f.source_system != "salesforce")(scene)
        return
    functions, since = _group(scene, [_system(s) for s in ("gmail", "salesforce", "hubspot", "vertex_ai", "internal")])
    scene.tell("runs", select=_select(functions), since=said(since), kind="quota_hours")
    scene.true("quota", functions, since)


def _crash(scene: Scene) -> None:
    function = scene.pick()
    since = scene.began([function])
    broken = scene.rng.choice(
        [
            {"kind": "crash"},
            {"error": "KeyError: 'internalDate'"},
            {"error": "ModuleNotFoundError: No module named 'tenacity'"},
            {"error": "AttributeError: 'NoneType' object has no attribute 'get'"},
            {"error": "TypeError: load() got an unexpected keyword argument 'since'"},
        ]
    )
    scene.tell("revisions", select={"name": function.name}, age=said(since), by=_somebody(scene), **broken)
    scene.true("crash_after_deploy", [function], since)


def _bad_data(scene: Scene) -> None:
    tables = {t.name for t in inventory().tables}
    kind = scene.rng.choice(["bad_data", "schema"])
    _one("bad_data", kind, lambda f: bool(tables & set(f.tables)))(scene)
    if kind == "schema":
        function = next(f for f in inventory().functions if f.name in scene.truths[-1].functions)
        column = scene.rng.choice(["value", "account_id"])
        changed = said(scene.truths[-1].since + _ago(1))
        scene.tell("tables", name=function.tables[0], drop=[column], changed=changed, by=_somebody(scene))


def _dependency(scene: Scene) -> None:
    functions, since = _group(scene, [_system(s) for s in ("salesforce", "hubspot", "vertex_ai")])
    scene.tell("runs", select=_select(functions), since=said(since), kind="dependency")
    region = inventory().region
    shown = {
        "salesforce": {"feed": "salesforce", "of": ["NA123"]},
        "hubspot": {"feed": "hubspot", "of": scene.rng.choice([["APIs"], ["APIs", "CRM"]])},
        "vertex_ai": {"feed": "google", "of": ["Vertex AI Online Prediction"], "locations": [region]},
    }[functions[0].source_system]
    began = since + _ago(scene.rng.randint(0, 12))
    scene.tell("incidents", **shown, since=said(began), severity=scene.rng.choice(["medium", "high"]))
    scene.true("dependency_outage", functions, since)


def _paused(scene: Scene) -> None:
    functions = [scene.pick()]
    since = scene.began(functions)
    for function in functions:
        scene.tell("jobs", select={"name": function.name}, state="PAUSED", changed=said(since), by=_somebody(scene))
    scene.true("paused_scheduler", functions, since)


def _capacity(scene: Scene) -> None:
    functions, since = _group(scene, [_system("gmail", "google_calendar"), _system("salesforce"), _system("hubspot")])
    scene.tell("runs", select=_select(functions), since=said(since), kind="capacity")
    scene.true("capacity", functions, since)


def _region(scene: Scene) -> None:
    everything, region = list(inventory().functions), inventory().region
    if scene.taken or not scene.settled(everything):
        raise NotHere
    since = scene.began([scene.pick()])
    scene.tell("runs", select={}, since=said(since), kind="silence")
    scene.world["unreachable"] = [region]
    of = scene.rng.choice(
        [["Google Cloud Functions", "Cloud Run"], ["Cloud Run", "Google Cloud Functions", "Cloud Scheduler"]]
    )
    scene.tell("incidents", feed="google", of=of, locations=[region], since=said(since + _ago(5)), severity="high")
    scene.true("region_outage", scene.hit(everything, since), since)


def _unknown(scene: Scene) -> None:
    function = scene.pick()
    since = scene.began([function])
    error = scene.rng.choice(
        [
            "RuntimeError: cursor moved backwards (page {n} after page {m})",
            "Exception: batch {n} did not complete",
            "RuntimeError: cannot continue ({n})",
            "AssertionError: expected {n} batches, made {m}",
        ]
    ).format(n=scene.rng.randint(3, 40), m=scene.rng.randint(41, 90))
    scene.tell("runs", select={"name": function.name}, since=said(since), outcome="failed", error=error)
    scene.true("unknown", [function], since)


_BIGQUERY = "403 POST https://bigquery.googleapis.com/bigquery/v2/projects/acme-sales-sandbox/jobs?prettyPrint=false: "
_POOL = "requests.exceptions.{kind}: HTTPSConnectionPool(host='{host}', port=443): Max retries exceeded with url: /x (Caused by "
# Cause → the source systems whose functions fail together ("" is one function of any), and what they say.
SAID: dict[str, list[tuple[str, str]]] = {
    "certificate": [
        (
            "salesforce",
            _POOL.format(kind="SSLError", host="acme.my.salesforce.com") + "SSLError(SSLCertVerificationError(1, "
            "'[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1129)')))",
        ),
        (
            "hubspot",
            "httpx.ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch, "
            "certificate is not valid for 'api.hubapi.com'. (_ssl.c:1007)",
        ),
    ],
    "api_disabled": [
        (
            "gmail",
            "<HttpError 403 when requesting https://gmail.googleapis.com/gmail/v1/users/me/messages?alt=json returned "
            "\"Gmail API has not been used in project 1005 before or it is disabled.\". Details: \"[{'message': 'Gmail API has "
            "not been used', 'domain': 'usageLimits', 'reason': 'accessNotConfigured'}]\">",
        ),
        (
            "vertex_ai",
            "google.api_core.exceptions.PermissionDenied: 403 Vertex AI API has not been used in project 1005 before "
            'or it is disabled. [reason: "SERVICE_DISABLED" domain: "googleapis.com"]',
        ),
    ],
    "organization_policy": [
        (
            "internal",
            "google.api_core.exceptions.Forbidden: " + _BIGQUERY + "VPC Service Controls: Request is prohibited by "
            "organization's policy. vpcServiceControlsUniqueIdentifier: 3e1c",
        )
    ],
    "service_account": [
        (
            "vertex_ai",
            "google.api_core.exceptions.Unauthenticated: 401 Service account etl@acme.iam.gserviceaccount.com is "
            'disabled. [reason: "ACCOUNT_STATE_INVALID" domain: "googleapis.com"]',
        )
    ],
    "model_retired": [
        (
            "vertex_ai",
            "google.api_core.exceptions.NotFound: 404 Publisher Model `publishers/google/models/textembedding-gecko` "
            "was not found or your project does not have access to it. Please ensure you are using a valid model version.",
        )
    ],
    "content_blocked": [
        (
            "vertex_ai",
            "ValueError: Cannot get the response text. Response candidate content has no parts (and thus no text). "
            'The candidate is likely blocked by the safety filters. Content: {} Candidate: {"finish_reason": "SAFETY"}',
        )
    ],
    "lock": [
        (
            "salesforce",
            "[{'message': 'unable to obtain exclusive access to this record or 1 records: 0015g00000XyZ12AAF', "
            "'errorCode': 'UNABLE_TO_LOCK_ROW', 'fields': []}]",
        ),
        (
            "internal",
            "google.api_core.exceptions.BadRequest: 400 Could not serialize access to table acme:sales.sf_accounts "
            "due to concurrent update; reason: invalidQuery",
        ),
    ],
    "disk_full": [("", "OSError: [Errno 28] No space left on device: '/tmp/batch-{n}.json'")],
    "table_missing": [
        (
            "",
            "google.api_core.exceptions.NotFound: 404 Not found: Table acme-sales-sandbox:sales_intelligence.t_{n} was not "
            "found in location US; reason: notFound",
        )
    ],
}


def _says(cause: str) -> Callable[[Scene], None]:
    def make(scene: Scene) -> None:
        system, error = scene.rng.choice(SAID[cause])
        if system:
            functions, since = _group(scene, [_system(system)])
        else:
            functions = [scene.pick()]
            since = scene.began(functions)
        error = error.replace("{n}", str(scene.rng.randint(3, 40)))
        scene.tell("runs", select=_select(functions), since=said(since), outcome="failed", error=error)
        scene.true(cause, functions, since)

    return make


def _own_network(scene: Scene) -> None:
    """No name can be resolved, or no vendor answers: functions of all vendors fail alike."""
    outside = [f for f in inventory().functions if f.source_system in ("gmail", "salesforce", "hubspot")]
    since = max(scene.began([f]) for f in (outside[0], outside[1], outside[-1]))
    found = scene.hit(outside, since)
    if scene.taken or not scene.settled(outside) or len({f.source_system for f in found}) < 3:
        raise NotHere
    lost = scene.rng.choice(
        [
            "socket.gaierror: [Errno -3] Temporary failure in name resolution",
            "requests.exceptions.ConnectTimeout: Connection timed out. (connect timeout=10)",
            "OSError: [Errno 101] Network is unreachable",
        ]
    )
    scene.tell("runs", select=_select(found), since=said(since), outcome="failed", error=lost)
    scene.true("own_network", found, since)


def _billing(scene: Scene) -> None:
    everything = list(inventory().functions)
    if scene.taken or not scene.settled(everything):
        raise NotHere
    since = scene.began([scene.pick()])
    error = f"google.api_core.exceptions.Forbidden: {_BIGQUERY}Billing has been disabled for this project; reason: billingNotEnabled"
    scene.tell("runs", select={}, since=said(since), outcome="failed", error=error)
    scene.true("billing", scene.hit(everything, since), since)


def _image(scene: Scene) -> None:
    function = scene.pick()
    since = scene.began([function])
    scene.tell("runs", select={"name": function.name}, since=said(since), outcome="skipped")
    text = f"Image 'us-central1-docker.pkg.dev/acme-sales-sandbox/gcf-artifacts/{function.name}:latest' not found."
    for call in scene.called(function, since):
        at = said(scene.now - call - timedelta(seconds=30))
        scene.tell("errors", select={"name": function.name}, since=at, until=at, count=1, payload="system", text=text)
    scene.tell("jobs", select={"name": function.name}, code=13)
    scene.true("image_missing", [function], since)


def _stale(scene: Scene) -> None:
    limits = {t.name: t.limit_hours for t in load_settings("sandbox").tables.freshness}
    function = scene.pick(lambda f: bool(set(f.tables) & set(limits)))
    hours = round(limits[function.tables[0]] + scene.rng.randint(2, 60))
    scene.tell("tables", name=function.tables[0], stale=f"{hours}h")
    scene.true("stale_data", [function], timedelta(hours=hours))


def _nothing(scene: Scene) -> None:
    function = scene.pick(lambda f: bool(f.tables))
    since = scene.called(function, timedelta(days=2))[3 if _hourly(function) else 2 if "/" in function.schedule else 0]
    ago = _minutes(scene.now - since + _ago(3))
    scene.tell("runs", select={"name": function.name}, since=said(ago), outcome="success", rows=0)
    scene.true("nothing_written", [function], ago, also=("stale_data",))


CAUSES: dict[str, Callable[[Scene], None]] = {
    "stuck_etl": _one("stuck_etl", "stuck"),
    "auth_error": _auth,
    "secret": _secret,
    "permission": _permission,
    "quota": _quota,
    "memory_limit": _one("memory_limit", "memory"),
    "timeout": _one("timeout", "timeout"),
    "crash_after_deploy": _crash,
    "bad_data": _bad_data,
    "dependency_outage": _dependency,
    "paused_scheduler": _paused,
    "capacity": _capacity,
    "region_outage": _region,
    "unknown": _unknown,
    "own_network": _own_network,
    "billing": _billing,
    "image_missing": _image,
    "stale_data": _stale,
    "nothing_written": _nothing,
    **{cause: _says(cause) for cause in SAID},
}


def _select(functions: Sequence[Function]) -> dict[str, Any]:
    return {"name": [f.name for f in functions]}


def _somebody(scene: Scene) -> str:
    return f"{scene.rng.choice(['ann', 'ben', 'cleo', 'dan'])}@acme.example"


# --- What is true besides, and keeps nothing from working


def _another_deploy(scene: Scene) -> None:
    """A good deployment of a function that works, about when the trouble began."""
    age = scene.truths[0].since + _ago(scene.rng.randint(-8, 10))
    scene.tell("revisions", select={"name": scene.rng.choice(scene.free()).name}, age=said(age), by=_somebody(scene))


def _an_old_deploy(scene: Scene) -> None:
    """A good deployment of a function in trouble, with good runs between."""
    age = scene.truths[0].since + timedelta(hours=scene.rng.randint(50, 90))
    scene.tell("revisions", select={"name": scene.truths[0].functions[0]}, age=said(age), by=_somebody(scene))


def _an_old_version(scene: Scene) -> None:
    """An old version of a secret of functions that work is switched off, about when the trouble began."""
    names = sorted({s for f in scene.free() for s in f.secrets} - {s for f in _taken(scene) for s in f.secrets})
    if names:
        changed = said(scene.truths[0].since + _ago(3))
        old = {"age": "260d", "state": "DISABLED", "changed": changed, "by": _somebody(scene)}
        versions = [old, {"age": f"{scene.rng.randint(10, 60)}d", "by": _somebody(scene)}]
        scene.tell("secrets", name=scene.rng.choice(names), versions=versions)


def _taken(scene: Scene) -> list[Function]:
    return [f for f in inventory().functions if f.name in scene.taken]


def _elsewhere(scene: Scene) -> None:
    """An incident in another region, of another instance or of a component that no function uses."""
    shown = scene.rng.choice(
        [
            {"feed": "google", "of": ["Cloud Run"], "locations": ["europe-west1"]},
            {"feed": "google", "of": ["Google BigQuery"], "locations": ["asia-northeast1", "us-east1"]},
            {"feed": "salesforce", "of": ["NA45"]},
            {"feed": "hubspot", "of": ["Conversations"]},
        ]
    )
    scene.tell("incidents", **shown, since=said(scene.truths[0].since + _ago(10)), severity="medium")


def _over(scene: Scene) -> None:
    """An incident here that was over long before."""
    since = scene.truths[0].since
    times = {"since": said(since + timedelta(hours=60)), "until": said(since + timedelta(hours=55))}
    scene.tell("incidents", feed="google", of=["Cloud Run"], locations=[inventory().region], severity="high", **times)


def _a_grant(scene: Scene) -> None:
    """A role that no function needs is given to somebody, or taken."""
    action, age = scene.rng.choice(["ADD", "REMOVE"]), said(scene.truths[0].since + _ago(4))
    scene.tell(
        "grants", action=action, role="roles/viewer", age=age, member="user:eve@acme.example", by=_somebody(scene)
    )


def _a_lone_error(scene: Scene) -> None:
    text, severity = scene.rng.choice(
        [
            ("HttpError 503: Backend Error; the next attempt worked.", "WARNING"),
            ("Calendar feed answered 502; the next attempt worked.", "ERROR"),
            ("429 Too Many Requests; waited 10 s, the next attempt worked.", "WARNING"),
            ("Contact 48213 has no email address; skipped.", "ERROR"),
        ]
    )
    hours = scene.rng.randint(1, 20)
    told = {"since": f"{hours + 1}h", "until": f"{hours}h", "count": 1, "payload": scene.rng.choice(["text", "json"])}
    scene.tell("errors", select={"name": scene.rng.choice(scene.free()).name}, text=text, severity=severity, **told)


def _a_run_that_failed_once(scene: Scene) -> None:
    """One that the next run made good."""
    often = [f for f in scene.free() if len(scene.called(f, timedelta(hours=20))) > 1 and scene.settled([f])]
    if often:
        function = scene.rng.choice(often)
        at = scene.now - scene.rng.choice(scene.called(function, timedelta(hours=20))[1:])
        kind = scene.rng.choice(["dependency", "capacity", "quota_seconds"])
        times = {"since": said(at + _ago(1)), "until": said(max(at - _ago(1), _ago(0)))}
        scene.tell("runs", select={"name": function.name}, kind=kind, **times)


ALL = ("permission", "region_outage", "billing", "own_network")  # causes that leave no room for a second one
DECOYS = (_another_deploy, _an_old_deploy, _an_old_version, _elsewhere, _over, _a_grant)
NOISE = (_a_lone_error, _a_lone_error, _a_run_that_failed_once)


def vary(seed: int) -> tuple[World, tuple[Truth, ...]]:
    """A world as plain data and what is wrong in it: seeds go round the causes, and every fifth has two."""
    names = list(CAUSES)
    for attempt in range(400):
        scene = Scene(Random(f"{seed}-{attempt}"))
        try:
            CAUSES[names[seed % len(names)]](scene)
            if seed % 5 == 0 and scene.truths[0].cause not in ALL:
                CAUSES[scene.rng.choice([n for n in names if n != scene.truths[0].cause])](scene)
        except (NotHere, IndexError):
            continue
        if not scene.free():
            decoys, noise = scene.rng.sample((_an_old_deploy, _elsewhere, _over, _a_grant), 2), ()
        else:
            decoys, noise = (
                scene.rng.sample(DECOYS, scene.rng.randint(0, 3)),
                scene.rng.sample(NOISE, scene.rng.randint(0, 3)),
            )
        for add in (*decoys, *noise):
            add(scene)
        return {"about": f"Outage {seed}.", **scene.world}, tuple(scene.truths)
    raise AssertionError(f"no world for seed {seed}")
