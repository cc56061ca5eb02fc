"""What a worker counts, as plain integers that only go up."""

import attrs


@attrs.define
class Counters:
    """Totals since the worker started."""

    requests: int = 0
    connections: int = 0
    items_published: int = 0
    blocks_published: int = 0  # only with `message_block_bytes`
    items_refused: int = 0  # malformed items over ZeroMQ, skipped and logged
    items_repeated: int = 0  # with an id that their channel has had just before
    items_unordered: int = 0  # before the item they follow, and no place to wait for it
    items_lost: int = 0  # on the way to a worker that is too slow
    items_skipped: int = 0  # for one client each, because a message filter failed
    deliveries_dropped: int = 0  # no room for them among those that wait
    deliveries_delayed: int = 0  # by the limit of the rate; counted by weight
    clients_too_slow: int = 0
    backlog_bytes_dropped: int = 0  # they waited for clients that were cut
    # How often a limit was reached: what happens then stands in docs/operations.md.
    limit_connections: int = 0
    limit_connections_per_address: int = 0
    limit_route_connections: int = 0
    limit_retained_body_bytes: int = 0
    limit_open_files: int = 0
    limit_queued_bytes: int = 0
    log_lines_left_out: int = 0  # by workers
    log_records_dropped: int = 0  # a handler had no room for them, as its collector took none
    publishes_refused: int = 0  # by HTTP, when there was no room in time
    limit_backlog_bytes: int = 0
    limit_backlog_seconds: int = 0
    limit_total_backlog_bytes: int = 0
    backend_failures: int = 0
