"""Bytes on sockets, without the sockets: HTTP/1.1 both ways, WebSocket frames, item encodings."""
