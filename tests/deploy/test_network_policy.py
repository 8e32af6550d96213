"""Who may reach the exporter's pods, and whom they may reach."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest

from tests.deploy.manifest import Manifest, of_kind

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def allowed(rules: list[Manifest], address: str, protocol: str, port: int) -> bool:
    """Whether a policy's rules let something out to an address outside the cluster's pods."""
    there = ip_address(address)
    return any(
        {"protocol": protocol, "port": port} in rule["ports"]
        and ("to" not in rule or any(there in block for block in blocks(rule["to"], there)))
        for rule in rules
    )


def blocks(peers: list[Manifest], there: Address) -> Iterator[Network]:
    for peer in peers:
        excepted = [ip_network(text) for text in peer["ipBlock"]["except"]]
        if not any(there in network for network in excepted):
            yield ip_network(peer["ipBlock"]["cidr"])


@pytest.mark.parametrize(
    ("address", "protocol", "port", "expected"),
    [
        ("104.18.0.1", "TCP", 443, True),
        ("2606:4700::1", "TCP", 443, True),
        ("10.96.0.10", "UDP", 53, True),
        ("169.254.20.10", "TCP", 53, True),
        ("104.18.0.1", "TCP", 80, False),
        ("104.18.0.1", "UDP", 443, False),
        ("10.96.0.1", "TCP", 443, False),
        ("172.20.0.1", "TCP", 443, False),
        ("192.168.1.1", "TCP", 443, False),
        ("169.254.169.254", "TCP", 443, False),
        ("fd00::1", "TCP", 443, False),
    ],
)
def test_pods_reach_the_api_and_names_alone(
    address: str, protocol: str, port: int, *, expected: bool
) -> None:
    """HTTPS on the internet and resolvers are open; the cluster around it and all else are not."""
    [policy] = of_kind("NetworkPolicy")
    assert ["Ingress", "Egress"] == policy["spec"]["policyTypes"]
    assert expected == allowed(policy["spec"]["egress"], address, protocol, port)


def test_prometheus_alone_reaches_pods() -> None:
    """Its namespace and its label are asked for in one entry: two would be one or the other."""
    [policy] = of_kind("NetworkPolicy")
    [rule] = policy["spec"]["ingress"]
    [peer] = rule["from"]
    assert {"namespaceSelector", "podSelector"} == peer.keys()
    assert all(peer[name]["matchLabels"] for name in peer)
    assert [{"protocol": "TCP", "port": 11940}] == rule["ports"]
