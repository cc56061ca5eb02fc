"""What applications answer to have clients held, and what is then published to those."""


def hold(mode, path, **fields):
    """The fields of an answer that holds a client on the channel of its path."""
    named = [(name.replace("_", "-"), value) for name, value in fields.items()]
    return [("Grip-Hold", mode), ("Grip-Channel", path.strip("/")), *named]


def publish_and_read(chain, client, path):
    """Publish items, each once the one before has arrived at the client of a stream."""
    channel = path.strip("/")
    chain.publish_until_taken(channel, http_stream={"content": "1\n"})
    client.read_until(b"1\n")
    for number in range(2, 5):
        assert chain.publish(channel, http_stream={"content": f"{number}\n"}) == 1
        client.read_until(b"%d\n" % number)
