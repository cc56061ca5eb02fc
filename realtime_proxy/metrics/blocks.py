"""Items in blocks of a size, as publishers may be billed."""

from realtime_proxy.model.item import Item


def blocks_of(item: Item, content_bytes: int, block_bytes: int) -> int:
    """How many blocks an item is, begun ones as whole: by its own `size` if it says one."""
    size = content_bytes if item.size is None else item.size
    return -(-size // block_bytes)


def blocks_published(item: Item, block_bytes: int) -> int:
    """How many blocks an item is for its publisher: as many as its largest payload."""
    sizes = [0]
    if item.http_response is not None:
        sizes.append(len(item.http_response.body))
    if item.http_stream is not None:
        sizes.append(len(item.http_stream.content))
    if item.ws_message is not None:
        sizes.append(len(item.ws_message.content))
    return blocks_of(item, max(sizes), block_bytes)
