from realtime_proxy.config.pushpin_note import Note


def test_a_note_begins_with_its_place():
    assert str(Note("routes:3", "left out")) == "routes:3: left out"
