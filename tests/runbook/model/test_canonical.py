"""The id of a plan is that of its content, however it is written down."""

from __future__ import annotations

from runbook.model.canonical import canonical, plan_id


def test_the_same_plan_has_the_same_id() -> None:
    one = {"a": [1, {"é": None, "b": True}], "c": "ä"}
    assert canonical(one).decode() == '{"a":[1,{"b":true,"é":null}],"c":"ä"}'
    assert plan_id(one) == plan_id(dict(reversed(one.items()))) != plan_id(one | {"c": "a"})
