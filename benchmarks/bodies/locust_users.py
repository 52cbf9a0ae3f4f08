"""The scenarios as Locust users, without any wait time. The class, users, time and host come from the command line."""

from __future__ import annotations

from locust import FastHttpUser, HttpUser, task


class GetHttpUser(HttpUser):
    @task
    def get(self) -> None:
        r = self.client.get("/small")
        assert r.status_code == 200


class GetFastUser(FastHttpUser):
    @task
    def get(self) -> None:
        r = self.client.get("/small")
        assert r.status_code == 200


class FullFastUser(FastHttpUser):
    """Its replies have no ``elapsed``."""

    @task
    def get(self) -> None:
        r = self.client.get("/small")
        assert r.status_code == 200
        assert r.ok
        assert r.headers["content-type"] == "text/plain"  # type: ignore[index]  # None only without a reply
        assert len(r.content) == 66
        assert "hello" in r.text  # type: ignore[operator]  # the same


class PostFastUser(FastHttpUser):
    @task
    def post(self) -> None:
        r = self.client.post("/orders", json={"item": 42, "name": "widget", "tags": ["a", "b"]})
        assert r.status_code == 200


class CookieFastUser(FastHttpUser):
    @task
    def get(self) -> None:
        r = self.client.get("/cookie")
        assert r.status_code == 200


class CookieChangingFastUser(FastHttpUser):
    @task
    def get(self) -> None:
        r = self.client.get("/cookie-changing")
        assert r.status_code == 200


class BodyFastUser(FastHttpUser):
    @task
    def get(self) -> None:
        r = self.client.get("/megabyte")
        assert r.status_code == 200
        assert len(r.content) == 1 << 20
