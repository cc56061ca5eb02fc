"""The GRIP language: instructions, signatures, publish items, WebSocket events. No IO, no clock."""
