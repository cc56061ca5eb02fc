"""The folders of examples with other gateways hold together; `make chains` runs them."""

import re

import pytest

from realtime_proxy.config.load import load_config
from realtime_proxy.pipeline.registry import load_handlers
from tests.chains.chain import PORTS, files_of
from tests.chains.gateways import BEHIND, GATEWAYS, IN_FRONT
from tests.chains.sources import CHECKOUT

EXAMPLES = CHECKOUT / "examples"
EACH = pytest.mark.parametrize("gateway", GATEWAYS, ids=lambda gateway: gateway.name)
EACH_ORDER = pytest.mark.parametrize("order", [IN_FRONT, BEHIND])


@EACH
@EACH_ORDER
def test_the_configuration_of_the_proxy_loads(gateway, order):
    file = EXAMPLES / gateway.folder / order / "routes.toml"
    load_handlers(load_config(file), file.parent)


@EACH
@EACH_ORDER
def test_every_port_is_one_that_checks_exchange(gateway, order):
    for file in files_of(EXAMPLES / gateway.folder / order):
        assert set(re.findall(r":\s?(\d{4,5})\b", file.read_text())) <= {*map(str, PORTS)}, file


@EACH
@EACH_ORDER
def test_the_readme_says_what_is_run(gateway, order):
    page = (EXAMPLES / gateway.folder / "README.md").read_text()
    name, value = gateway.credential[order]
    assert f"-H '{name}: {value}'" in page
    assert f"(cd examples/{gateway.folder}/{order} && {gateway.command})" in page
    assert f"realtime-proxy run --config examples/{gateway.folder}/{order}/routes.toml" in page


def test_each_gateway_is_on_the_page_of_chains():
    page = (CHECKOUT / "docs" / "chains.md").read_text()
    for gateway in GATEWAYS:
        assert f"(../examples/{gateway.folder}/README.md)" in page
