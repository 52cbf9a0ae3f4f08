"""The scenarios as plans of k9-load: its Rust engine sends the requests, and no Python runs in between."""

from __future__ import annotations

import k9
import k9.plan

URL = k9.env["TARGET"]
_CHECKS = {"status is 200": k9.plan.status(200)}
_STEPS = {
    "get": lambda: k9.plan.get(URL, checks=_CHECKS),
    "post": lambda: k9.plan.post(URL, json={"item": 42, "name": "widget", "tags": ["a", "b"]}, checks=_CHECKS),
}

plan = k9.plan.Plan([_STEPS[k9.env["BODY"]]()])
