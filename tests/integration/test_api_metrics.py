"""``/metrics`` as Prometheus reads it."""

import re

import httpx

from tests.unit.api.serving import PROMPT, Site

_LINE = re.compile(
    r'(# (HELP|TYPE) \w+ .+)|(photogram_\w+\{(\w+="([^"\\\n]|\\.)*",?)*\} -?[\d.e+-]+)'
)


async def test_requests_and_the_engine_are_counted(client: httpx.AsyncClient, site: Site) -> None:
    await client.post("/v1/flux-dev", json=PROMPT | {"steps": 3})
    await client.post("/v1/flux-dev", json={})
    await client.request("BREW", "/tea/secret-path", json={})
    answer = await client.get("/metrics", headers={"x-api-key": ""})
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert answer.text.endswith("\n")
    assert [line for line in lines if _LINE.fullmatch(line) is None] == []
    for wanted in (
        'photogram_http_requests_total{route="/v1/flux-dev",method="POST",status="200"} 1',
        'photogram_http_requests_total{route="/v1/flux-dev",method="POST",status="400"} 1',
        'photogram_http_requests_total{route="other",method="other",status="404"} 1',
        'photogram_ready{model="fake"} 1',
        'photogram_jobs{model="fake"} 0',
        'photogram_steps_total{model="fake"} 3',
    ):
        assert wanted in lines
    for secret in (PROMPT["prompt"], site.key.key_id, "ann", "secret-path"):
        assert secret not in answer.text
