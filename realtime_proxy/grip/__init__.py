"""The GRIP language, without IO and without a clock: bytes in, checked values out, and back.

What a backend says in a response: `instruct` (with `hold`, `keep_alive`, `link`, the syntax in
`header_values`, the JSON form in `instruct_json`). What it says in a WebSocket:
`websocket_events`, `websocket_extension`, `control_message`. What is published: `publish` (with
`item_formats`), and `json_patch` for what a patch does to a body. Who asks: `signature`,
`features`. Shared by the readers: `json_text`, `tnetstring_text`, `lenient`, `header_fields`.
"""
