"""The chart of `deploy/helm` is what Kubernetes takes, and starts the service as its settings allow.

A program in `deploy/helm/check` lints and renders it, and decodes each object strictly. It is built from Go modules; no
cluster is asked."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest.peers.build import PeerError, go
from shared.settings import load
from tests.harness.process import ROOT
from tests.harness.services import missing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_HELM = ROOT / "deploy/helm"
#: Everything that is off or unset by default.
_FULL = """
image: {repository: registry.example/tallybook, tag: 0.1.0, pullSecrets: [{name: registry}]}
stores:
  owner: {secret: owner, key: url}
  log: {secret: kafka, key: url}
settings: {TALLYBOOK_BANNERS: registered, TALLYBOOK_SHARDS: 4, TALLYBOOK_HONOUR_DNT: true}
ingest:
  trustedProxies: [10.0.0.0/8, "fd00::/8"]
  migrateConnections: true
  volume: {storageClassName: local, size: 10Gi}
  nodeSelector: {disk: local}
  tolerations: [{key: counting, operator: Exists}]
aggregator: {affinity: {nodeAffinity: {}}}
ingress: {enabled: true, className: nginx, host: count.example, tlsSecret: certificate}
networkPolicy:
  clients: [{namespaceSelector: {matchLabels: {name: ingress}}}]
  metrics: [{namespaceSelector: {matchLabels: {name: monitoring}}}]
  egress: [{to: [{ipBlock: {cidr: 10.1.0.0/16}}]}]
podMonitor: {enabled: true, labels: {release: prometheus}}
"""

Render = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def render(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the chart with values, as YAML."""
    try:
        compiler = go()
    except PeerError as error:
        missing("go", str(error))
    folder = tmp_path_factory.mktemp("helm")
    subprocess.run([compiler, "build", "-mod=readonly", "-o", folder / "check", "."], cwd=_HELM / "check", check=True)

    def rendered(*values: str) -> "subprocess.CompletedProcess[str]":
        files = [_file(folder / f"values-{number}.yaml", text) for number, text in enumerate(values)]
        return subprocess.run(
            [folder / "check", _HELM / "tallybook", *files], capture_output=True, text=True, check=False
        )

    return rendered


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _objects(done: "subprocess.CompletedProcess[str]") -> dict[tuple[str, str], Any]:
    assert done.returncode == 0, done.stderr
    found = [one for one in yaml.safe_load_all(done.stdout) if one]
    by_name = {(one["kind"], one["metadata"]["name"].removeprefix("tally-tallybook").lstrip("-")): one for one in found}
    assert len(by_name) == len(found)
    return by_name


def _pod(one: Any) -> Any:
    return one["spec"]["template"]["spec"]


def _environ(one: Any) -> dict[str, str]:
    (container,) = _pod(one)["containers"]
    given = [(each["name"], each["value"]) for each in container["env"]]
    assert len(dict(given)) == len(given)
    return dict(given)


@pytest.mark.parametrize("values", ["", _FULL], ids=["defaults", "everything"])
def test_kubernetes_and_the_service_take_what_is_rendered(render: Render, values: str, tmp_path: Path) -> None:
    objects = _objects(render(values))
    workloads = [objects["StatefulSet", "ingest"], objects["Deployment", "aggregator"], objects["Job", "migrate"]]
    urls = {"redis": "redis://r", "database": "postgresql://p/d", "clickhouse": "http://c", "log": "kafka://k:9092"}
    for one in workloads:
        environ = _environ(one)
        (stores,) = (each for each in _pod(one)["volumes"] if each["name"] == "stores")
        names = [item["path"] for each in stores["projected"]["sources"] for item in each["secret"]["items"]]
        assert {f"/run/stores/{name}" for name in names} == {
            path for name, path in environ.items() if name.endswith("_URL_FILE")
        }
        for name, path in environ.items():
            if name.endswith("_FILE"):
                store = Path(path).name
                environ[name] = str(_file(tmp_path / store, urls.get(store, urls["database"])))
        settings = load(environ)  # each name is a setting, and each value one that it takes
        assert settings.redis_url == "redis://r"
    ingest, aggregator, _ = workloads
    for one, more_s in ((ingest, 5), (aggregator, 0)):  # a pause before the stop, then a last drain
        settings = load({name: text for name, text in _environ(one).items() if not name.endswith("_FILE")})
        assert _pod(one)["terminationGracePeriodSeconds"] > settings.drain_timeout_s + more_s


@pytest.mark.parametrize(("values", "owner"), [("", "database"), (_FULL, "owner")], ids=["one role", "two roles"])
def test_who_changes_tables_is_their_owner_and_who_listens_to_the_world_is_not(
    render: Render, values: str, owner: str
) -> None:
    objects = _objects(render(values))
    wanted = {("StatefulSet", "ingest"): "database", ("Deployment", "aggregator"): owner, ("Job", "migrate"): owner}
    found = {of: _environ(objects[of])["TALLYBOOK_DATABASE_URL_FILE"] for of in wanted}
    assert found == {of: f"/run/stores/{store}" for of, store in wanted.items()}


def test_a_pod_may_do_nothing_that_it_needs_not(render: Render) -> None:
    for kind, name in (("StatefulSet", "ingest"), ("Deployment", "aggregator"), ("Job", "migrate")):
        pod = _pod(_objects(render(""))[kind, name])
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert "limits" in container["resources"]


def test_what_pods_have_acknowledged_outlives_them(render: Render) -> None:
    ingest = _objects(render(""))["StatefulSet", "ingest"]
    assert ingest["spec"]["persistentVolumeClaimRetentionPolicy"] == {"whenDeleted": "Retain", "whenScaled": "Retain"}
    (container,) = _pod(ingest)["containers"]
    (claim,) = ingest["spec"]["volumeClaimTemplates"]
    assert {"name": claim["metadata"]["name"], "mountPath": "/data"} in container["volumeMounts"]


def test_the_network_lets_in_whom_the_values_name(render: Render) -> None:
    closed, opened = _objects(render("")), _objects(render(_FULL))
    assert closed["NetworkPolicy", "ingest"]["spec"]["ingress"] == [{"ports": [{"port": "http"}]}]
    for name in ("aggregator", "migrate"):
        assert closed["NetworkPolicy", name]["spec"]["ingress"] == []
    assert opened["NetworkPolicy", "migrate"]["spec"]["ingress"] == []
    clients, metrics = opened["NetworkPolicy", "ingest"]["spec"]["ingress"]
    assert clients["from"] == [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}]
    assert opened["NetworkPolicy", "aggregator"]["spec"]["ingress"] == [metrics]
    assert opened["NetworkPolicy", "ingest"]["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("settings: {TALLYBOOK_PORT: 80}", "settings.TALLYBOOK_PORT: the chart sets it"),
        ("settings: {TALLYBOOK_REDIS_URL: redis://r}", "settings.TALLYBOOK_REDIS_URL: the chart sets it"),
        ("settings: {TALLYBOOK_LOG_FORMAT: console}", "settings.TALLYBOOK_LOG_FORMAT: the chart sets it"),
        ("settings: {BANNERS: open}", "settings.BANNERS: names begin with TALLYBOOK_"),
        ("stores: {redis: {secret: ''}}", "stores.redis.secret: the service cannot do without it"),
        ("ingress: {enabled: true, tlsSecret: certificate}", "ingress.host: the name that the certificate is for"),
        ("ingest: {resources: {requests: 5}}", "unmarshal"),
        ("service: {port: many}", "unmarshal"),
    ],
)
def test_values_that_cannot_work_are_refused(render: Render, values: str, message: str) -> None:
    done = render(values)
    assert done.returncode == 1
    assert message in done.stderr


def test_an_unknown_field_of_a_template_would_be_found(render: Render, tmp_path: Path) -> None:
    """Or the other tests would prove less than they say."""
    done = render("aggregator: {resources: {limit: {memory: 1Gi}}}")
    assert done.returncode == 1
    assert 'unknown field "spec.template.spec.containers[0].resources.limit"' in done.stderr
