"""`Grip-Feature`: what a backend may ask of this proxy."""

# The fields that this proxy makes for backends, and nobody else does.
OWN_FIELDS = frozenset((b"grip-sig", b"grip-feature"))
GRIP_FEATURE = b", ".join(
    (
        b"status",
        b"session",
        b"link:next",
        b"link:gone",
        b"filter:skip-self",
        b"filter:skip-users",
        b"filter:require-sub",
        b"filter:build-id",
        b"filter:var-subst",
        b"filter:http-check",
        b"filter:http-modify",
    )
)
