"""`python -m realtime_proxy` is the `realtime-proxy` command."""

from realtime_proxy.cli.main import main

main()
