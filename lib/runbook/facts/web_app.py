"""The web app that shows the data, where params name one: does its page answer, and is its service well."""

from runbook.cloud.client import Cloud
from runbook.cloud.guard import Redirected
from runbook.facts.base import Answer, Read, each, fact
from runbook.facts.fields import text
from runbook.model.moment import Moment
from runbook.model.rows import WebAppPart


@fact
def web_app(cloud: Cloud, moment: Moment) -> Read:
    """Its page, asked without credentials, and its Cloud Run service; no rows and no request if params name none.

    A page that asks to sign in (401, 403 or a redirect) answers. No answer at all is a gap: it may be our own network.
    """
    app, system = cloud.settings.web_app, cloud.settings
    places = {"page": app.url, "service": app.service} if app else {}
    lines = {"page": f"curl -sI {places.get('page')}"}
    lines["service"] = f"gcloud run services describe {places.get('service')} {system.flags}"
    asked = {part: place for part, place in places.items() if place}

    def one(part: str) -> Answer:
        return Answer([_page(cloud, asked[part]) if part == "page" else _service(cloud, asked[part])])

    line, now = "\n".join(lines[part] for part in asked), "a web app" if asked else ""
    return Read("web app", line, lambda: each(asked, one, "{} of the web app".format), no_history_of=now)


def _page(cloud: Cloud, url: str) -> WebAppPart:
    try:
        answer = cloud.public.get(url, timeout=10)
    except Redirected:
        return WebAppPart("page", "its page redirects", True)
    works = answer.ok or answer.status_code in (401, 403)
    return WebAppPart("page", f"its page answers {answer.status_code}", works)


def _service(cloud: Cloud, name: str) -> WebAppPart:
    found = cloud.get("run", f"v2/{cloud.settings.resource('services', name)}")
    state, why = (text(found, "terminalCondition", key) for key in ("state", "message"))
    said = f"its service says {state or 'no state'}" + f": {why}" * bool(why)
    return WebAppPart("service", said, state in ("CONDITION_SUCCEEDED", "CONDITION_PENDING", "CONDITION_RECONCILING"))
