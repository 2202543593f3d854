"""What every response must fulfil beyond /openapi.json, whatever the request."""

import json

import schemathesis

EXACT = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def only(response, name):
    values = response.headers.get(name) or []
    assert len(values) == 1, f"{name} appears {len(values)} times in a response {response.status_code}"
    return values[0]


@schemathesis.check
def security_headers(ctx, response, case):
    for name, value in EXACT.items():
        assert only(response, name) == value, f"{name}: {only(response, name)}"
    policy = only(response, "content-security-policy")
    assert policy.startswith("default-src 'none'") and "frame-ancestors" in policy, policy


@schemathesis.check
def problem_has_its_status(ctx, response, case):
    if response.status_code >= 400 and "application/problem+json" in response.headers.get("content-type", []):
        problem = json.loads(response.content)
        assert problem["status"] == response.status_code, problem
        assert only(response, "cache-control") == "no-store"


@schemathesis.check
def address_of_a_redirect_is_local(ctx, response, case):
    for location in response.headers.get("location") or []:
        assert location.startswith("/") and not location.startswith("//"), location
