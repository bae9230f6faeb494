"""The OpenAPI document is exact: schemathesis sends what it allows and forbids, and checks every response."""

import json
import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from pathlib import Path

import pytest
import schemathesis
from hypothesis import settings
from jsonschema_rs import Draft202012Validator, meta
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.engine import Status, events, from_schema
from schemathesis.generation.stateful.state_machine import DEFAULT_STATE_MACHINE_SETTINGS
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from werkzeug.serving import make_server

from app.api.openapi import document
from tests.support.api_links import LINKS, with_links
from tests.support.databases import emptied
from tests.support.deleted import DELETED, needs
from tests.support.program import Program, codes

ROOT = Path(__file__).parents[2]

# Requests per operation in the random phases; SCHEMA_EXAMPLES=300 tests longer.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "3"))
STORIES = max(20, 2 * EXAMPLES)

# Codes with which a valid request may be refused, each because of the state.
PERMITTED = {
    (410, "dead_link"): "the token has the form of one, but no mail brought it",
    (412, "precondition_failed"): "the version is not, or no longer, the user's",
    (422, "idempotency_key_reused"): "the key came with another request before",
    (422, "in_the_past"): "the time has passed by now",
    (422, "invalid_cursor"): "no page gave out this cursor",
    (422, "invalid_period"): "its end is not after its beginning",
    (422, "too_many_changes"): "several changes of address were asked for within the hour",
    (422, "unreadable_file"): "the name has the ending of another kind of file",
    (422, "too_many_api_keys"): "the owner has as many keys as one may have",
    (422, "unknown_role"): "roles are rows, so which there are no document knows",
    (422, "weak_password"): "long enough, as the document says, but easy to guess",
}
# Operations that random requests cannot reach: the token is in an email, the user has to be deleted or invited first,
# or a worker has to do something.
OUT_OF_REACH = {
    "verify_email", "reset_password", "restore_user", "end_user_sessions",
    "show_invitation", "resend_invitation", "revoke_invitation",
    "start_import", "cancel_import", "resume_import", "retry_job", "run_job", "cancel_job",
}  # fmt: skip


# ── the document itself ──


@pytest.fixture
def whole(app):
    with app.app_context():
        return document()


def operations(whole):
    return [operation for methods in whole["paths"].values() for operation in methods.values()]


def fields(schema, where=""):
    """Return every property in the document: fields of bodies and responses."""
    for name, part in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if name == "properties":
            yield from ((f"{where}/{field}", described) for field, described in part.items() if "enum" not in described)
        if isinstance(part, dict | list) and name not in {"example", "examples"}:
            yield from fields(part, f"{where}/{name}")


@pytest.mark.databases("sqlite")
def test_document_is_openapi_3_1_with_valid_json_schemas(whole):
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(whole)] == []
    for schema in whole["components"]["schemas"].values():
        meta.validate(schema)


@pytest.mark.databases("sqlite")
def test_document_describes_exactly_the_endpoints(app, whole):
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule.removeprefix("/api/v1")))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    described = {(method.upper(), path) for path, methods in whole["paths"].items() for method in methods}
    assert served - described == {("GET", "/openapi.json")}
    assert described - served == set()


@pytest.mark.databases("sqlite")
def test_every_operation_has_id_summary_and_status_codes(whole):
    names = Counter(operation["operationId"] for operation in operations(whole))
    assert set(names.values()) == {1}
    for operation in operations(whole):
        assert operation["summary"], operation["operationId"]
        for status, answer in operation["responses"].items():
            if status >= "400":
                schema = answer["content"]["application/json"]["schema"]
                error_codes = schema["properties"]["errors"]["items"]["properties"]["code"]["enum"]
                assert error_codes, (operation["operationId"], status)
                assert all(f"`{code}`" in answer["description"] for code in error_codes)


@pytest.mark.databases("sqlite")
def test_every_field_has_a_valid_example(whole):
    for where, field in fields(whole):
        forms = [field, *field.get("anyOf", [])]
        examples = [example for form in forms for example in form.get("examples", [])]
        parts = [part for form in forms for part in (form, form.get("items", {}))]
        made_of_others = any({"$ref", "properties"} & set(part) for part in parts)
        assert examples or made_of_others or "const" in field or field["type"] == "null", where
        for example in examples:
            Draft202012Validator({**field, "components": whole["components"]}, validate_formats=True).validate(example)


@pytest.mark.databases("sqlite")
def test_links_name_existing_operations_and_parameters(whole):
    by_name = {operation["operationId"]: operation for operation in operations(with_links(whole))}
    links = [
        link
        for operation in by_name.values()
        for answer in operation["responses"].values()
        for link in answer.get("links", {}).values()
    ]
    assert len(links) > 15
    assert set(LINKS) <= set(by_name) or DELETED
    for link in links:
        target = by_name[link["operationId"]]
        assert set(link.get("parameters", {})) <= {parameter["name"] for parameter in target.get("parameters", [])}
        assert ("requestBody" in link) <= ("requestBody" in target)


# ── the behavior ──


@pytest.fixture
def address(app):
    """The URL of the application in this process, whose clock stands still so that no token expires."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/api/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def examples(language):
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```$", (ROOT / "docs" / "api.md").read_text())


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.databases("sqlite")
def test_shell_examples_of_the_guide_work(address, people):
    """Values of a response become variables of the next command."""
    needs("api_keys")
    ada = people.add("ada@example.com", roles=("administrator",))
    people.add_all({"email": f"person{number}@example.com"} for number in range(150))
    environment = {**os.environ, "API": address}
    answers = []
    for example in examples("sh")[1:]:
        for command in re.split(r"\n(?=curl)", example):
            ran = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
            answer = json.loads(ran.stdout)
            assert answer["success"], (command, answer)
            answers.append(answer["data"])
            environment |= {name: value for name, value in (answer["data"] or {}).items() if isinstance(value, str)}

    assert [answer["id"] for answer in answers if answer and "roles" in answer] == [ada.id, ada.id]
    assert [len(answer["items"]) for answer in answers if answer and "items" in answer] == [100, 51]


@pytest.mark.databases("sqlite")
def test_python_examples_of_the_guide_work(address, people):
    needs("api_keys")
    ada = people.add("ada@example.com", roles=("administrator",))
    people.add_all({"email": f"person{number}@example.com"} for number in range(150))
    names = {}
    for example in examples("python"):
        exec(example.replace("https://accounts.example.com/api/v1", address), names)  # noqa: S102

    assert names["me"]["id"] == ada.id
    assert len(names["addresses"]) == 151
    assert names["addresses"] == sorted(set(names["addresses"]))


class Administrator:
    """An administrator for the run; replaced when the run signs them out, removes their roles or erases them."""

    def __init__(self, people):
        self._people, self._token, self._made = people, None, 0

    def token(self, app):
        if self._token is None:
            self._made += 1
            someone = self._people.add(f"administrator{self._made}@example.com", roles=("administrator",))
            self._token = Program(app).login(someone).token
        return self._token

    def forget(self):
        self._token = None

    def hear(self, case, response):
        if response.status_code in {401, 403} and case.operation.definition.raw["security"]:
            self.forget()


@pytest.fixture
def administrator(people):
    return Administrator(people)


@pytest.fixture
def schema(app, whole, address, administrator):
    """The document as schemathesis loads it, with all checks enabled."""
    random = {"max-examples": EXAMPLES, "deterministic": True, "no-shrink": True}
    config = {"seed": 1, "base-url": address, "continue-on-failure": True, "generation": random, "warnings": False}
    schema = schemathesis.openapi.from_dict(with_links(whole), config=SchemathesisConfig.from_dict(config))

    @schema.auth(refresh_interval=None)
    class Bearer:
        def get(self, case, context):
            return administrator.token(app)

        def set(self, case, token, context):
            case.headers["Authorization"] = f"Bearer {token}"

    @schema.hook
    def filter_failure(context, failure, case, response):
        if isinstance(failure, AcceptedNegativeData) and name_of(case) == "upload_import":
            return (
                False  # Any bytes are a file, which a job validates, and more names are valid than the pattern allows.
            )
        return not (isinstance(failure, RejectedPositiveData) and what(response) in PERMITTED)

    return schema


def what(response):
    return response.status_code, response.json()["errors"][0]["code"]


def name_of(case):
    return case.operation.definition.raw["operationId"]


@pytest.fixture
def run(administrator):
    """Run the phases of `schemathesis run` except stateful ones; return findings and operations that succeeded."""

    @schemathesis.hook
    def after_call(context, case, response):
        administrator.hear(case, response)

    def run(schema):
        schema.config.phases.stateful.enabled = False
        findings, answered = [], set()
        for event in from_schema(schema).execute():
            if isinstance(event, events.NonFatalError | events.FatalError):
                findings.append(repr(event.exception if isinstance(event, events.FatalError) else event.value))
            if isinstance(event, events.ScenarioFinished):
                findings += failures(event.recorder)
                answered |= {name_of(case) for case in served(event.recorder)}
        return findings, answered

    yield run
    schemathesis.hooks.unregister(after_call)


def failures(recorder):
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.status is Status.FAILURE:
                failure, answer = check.failure_info, recorder.interactions[case_id].response
                yield f"{check.name}: {failure.failure.message}\n{failure.code_sample}\n{answer.content[:500]!r}"


def served(recorder):
    """Collect the requests that were sent as documented and succeeded."""
    for case_id, interaction in recorder.interactions.items():
        case = recorder.cases[case_id].value
        is_described = case.method == case.operation.method.upper()
        if is_described and interaction.response is not None and interaction.response.status_code < 300:
            yield case


@pytest.mark.databases("postgresql")
@pytest.mark.settings(log_level="WARNING")
@pytest.mark.parametrize(
    "tag", ["auth", "users", "roles", "invitations", "audit", "imports", "jobs", "sessions", "api-keys"]
)
@pytest.mark.deep
def test_every_operation_behaves_as_documented(schema, run, ada, tag, whole):
    findings, answered = run(schema.include(tag=tag))

    assert findings == []
    names = {operation["operationId"] for operation in operations(whole) if tag in operation["tags"]}
    assert names - answered <= OUT_OF_REACH


@pytest.mark.databases("postgresql")
@pytest.mark.settings(log_level="WARNING")
# With all operations at once, hardly any link would be followed.
@pytest.mark.parametrize(
    "tags",
    [["auth", "users", "roles", "sessions", "api-keys"], ["users", "roles", "jobs", "imports"]],
    ids=["people", "work"],
)
@pytest.mark.deep
def test_linked_operations_behave_as_documented(schema, administrator, people, database_url, ada, tags):
    followed = Counter()

    class Story(schema.include(tag=tags).as_state_machine()):
        def setup(self):
            # A repeated story must start from the same state.
            emptied(database_url)
            administrator.forget()
            self.ada = people.add(ada.email, password=ada.password)

        def before_call(self, case):
            if name_of(case) == "login" and case.meta.generation.mode.is_positive:
                case.body = {"email": self.ada.email, "password": self.ada.password}

        def after_call(self, response, case):
            super().after_call(response, case)
            administrator.hear(case, response)

        def teardown(self):
            for case in served(self.recorder):
                node = self.recorder.cases[case.id]
                if node.transition is not None and node.is_transition_applied:
                    followed[node.transition.id] += 1

    Story.run(settings=settings(DEFAULT_STATE_MACHINE_SETTINGS, max_examples=STORIES, derandomize=True, database=None))

    assert len(followed) > 1


@pytest.mark.databases("postgresql")
def test_api_key_ends_only_at_its_expiry(app, admin):
    program = Program(app).login(admin)
    for end in (
        4102444799,
        "4102444799",
        "2099-12-31",
        "2099-12-31T23:59:59",
        "2099-02-30T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
    ):
        answer = program.post("/api-keys", {"name": "x", "expires_at": end})
        assert (answer.status_code, codes(answer)) == (422, {("expires_at", "invalid")}), end
