from realtime_proxy.cli.hosts_to_try import hosts_to_try


def test_localhost_is_both_loopback_addresses():
    assert hosts_to_try("localhost") == ("127.0.0.1", "::1")
    assert hosts_to_try("LocalHost") == ("127.0.0.1", "::1")


def test_any_other_host_is_itself():
    assert hosts_to_try("example.com") == ("example.com",)
