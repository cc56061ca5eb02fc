"""The contract of `handlers/`: the only part of the package that a handler imports."""

from realtime_proxy.config.checks import above_zero, at_least, one_of
from realtime_proxy.config.option import option, required
from realtime_proxy.errors import ConfigError, Problem
from realtime_proxy.model.client_certificate import ClientCertificate
from realtime_proxy.model.connection_record import ConnectionRecord
from realtime_proxy.model.headers import Headers
from realtime_proxy.model.messages import RequestHead, Response, ResponseHead
from realtime_proxy.model.redaction import SECRET_HEADERS, SECRET_PARAMETERS, Redaction
from realtime_proxy.pipeline.allowed_pages import AllowedPages, CorsSettings
from realtime_proxy.pipeline.backend_headers import backend_header, set_by_handlers_only
from realtime_proxy.pipeline.bearer_refusal import (
    BearerRefusals,
    NotInScope,
    NoToken,
    SeveralTokens,
    TokenRefused,
    UnreadableToken,
    keys_unavailable,
)
from realtime_proxy.pipeline.certificate_owners import CertificateOwners, certificate_names
from realtime_proxy.pipeline.claim_headers import ClaimHeaders
from realtime_proxy.pipeline.consumers import (
    IDENTITY_HEADER_NAMES,
    Consumer,
    Consumers,
    JwtCredential,
    KeyOwner,
    digest_of,
    identity_headers,
    is_known,
    nobody,
    pass_as,
    read_consumers,
)
from realtime_proxy.pipeline.decision import (
    CONTINUE,
    NOT_MINE,
    Answer,
    CloseWith,
    Decision,
    Drop,
    Refuse,
    Renew,
    Renewal,
    Renewed,
)
from realtime_proxy.pipeline.error_forms import ErrorForms
from realtime_proxy.pipeline.exchange import Exchange, Identity
from realtime_proxy.pipeline.form_fields import Form
from realtime_proxy.pipeline.handler import (
    BaseHandler,
    EventOutcome,
    HandlerContext,
    NoConfig,
    SoleCredential,
    WebSocketEvent,
)
from realtime_proxy.pipeline.http_client import HttpCallError, HttpClient
from realtime_proxy.pipeline.identity_template import IdentityTemplate
from realtime_proxy.pipeline.jwt_claims import ClaimRules, claim_at, scopes_of, texts_of
from realtime_proxy.pipeline.jwt_credentials import JwtCredentials
from realtime_proxy.pipeline.jwt_issuer import Issuer, IssuerKeys, issuer_keys
from realtime_proxy.pipeline.jwt_key import ALGORITHMS, BadKey, JwtKey, secret_of_base64
from realtime_proxy.pipeline.jwt_signer import JwtSigner, signers_of
from realtime_proxy.pipeline.jwt_token import BadToken, JwtToken
from realtime_proxy.pipeline.jwt_verifier import JwtVerifier, VerifiedToken
from realtime_proxy.pipeline.kept_answers import KeptAnswers
from realtime_proxy.pipeline.key_set import KeySet, KeySets, KeySource, KeysUnavailable
from realtime_proxy.pipeline.kong_refusal import JSON, kong_refusal
from realtime_proxy.pipeline.page_request import accepted_types, is_page_request
from realtime_proxy.pipeline.redis_connection import (
    Published,
    RedisConnection,
    RedisSettings,
    RedisUnavailable,
)
from realtime_proxy.pipeline.renewal_request import answer_renewal
from realtime_proxy.pipeline.request_credentials import (
    arguments,
    bearer_of_subprotocols,
    cookies,
    headers_without_bearer,
    headers_without_cookies,
    is_preflight,
    subprotocols,
    target_without,
)
from realtime_proxy.pipeline.secret import Secret
from realtime_proxy.pipeline.server_authority import server_authority
from realtime_proxy.pipeline.services import HandlerServices, LiveConnections
from realtime_proxy.pipeline.stored_consumers import StoredConsumers, StoredKey
from realtime_proxy.pipeline.token_memory import Accepted, TokenMemory
from realtime_proxy.pipeline.token_mint import TokenMint
from realtime_proxy.pipeline.token_places import TokenPlaces, token_of_message

__all__ = [
    "ALGORITHMS",
    "CONTINUE",
    "IDENTITY_HEADER_NAMES",
    "JSON",
    "NOT_MINE",
    "SECRET_HEADERS",
    "SECRET_PARAMETERS",
    "Accepted",
    "AllowedPages",
    "Answer",
    "BadKey",
    "BadToken",
    "BaseHandler",
    "BearerRefusals",
    "CertificateOwners",
    "ClaimHeaders",
    "ClaimRules",
    "ClientCertificate",
    "CloseWith",
    "ConfigError",
    "ConnectionRecord",
    "Consumer",
    "Consumers",
    "CorsSettings",
    "Decision",
    "Drop",
    "ErrorForms",
    "EventOutcome",
    "Exchange",
    "Form",
    "HandlerContext",
    "HandlerServices",
    "Headers",
    "HttpCallError",
    "HttpClient",
    "Identity",
    "IdentityTemplate",
    "Issuer",
    "IssuerKeys",
    "JwtCredential",
    "JwtCredentials",
    "JwtKey",
    "JwtSigner",
    "JwtToken",
    "JwtVerifier",
    "KeptAnswers",
    "KeyOwner",
    "KeySet",
    "KeySets",
    "KeySource",
    "KeysUnavailable",
    "LiveConnections",
    "NoConfig",
    "NoToken",
    "NotInScope",
    "Problem",
    "Published",
    "Redaction",
    "RedisConnection",
    "RedisSettings",
    "RedisUnavailable",
    "Refuse",
    "Renew",
    "Renewal",
    "Renewed",
    "RequestHead",
    "Response",
    "ResponseHead",
    "Secret",
    "SeveralTokens",
    "SoleCredential",
    "StoredConsumers",
    "StoredKey",
    "TokenMemory",
    "TokenMint",
    "TokenPlaces",
    "TokenRefused",
    "UnreadableToken",
    "VerifiedToken",
    "WebSocketEvent",
    "above_zero",
    "accepted_types",
    "answer_renewal",
    "arguments",
    "at_least",
    "backend_header",
    "bearer_of_subprotocols",
    "certificate_names",
    "claim_at",
    "cookies",
    "digest_of",
    "headers_without_bearer",
    "headers_without_cookies",
    "identity_headers",
    "is_known",
    "is_page_request",
    "is_preflight",
    "issuer_keys",
    "keys_unavailable",
    "kong_refusal",
    "nobody",
    "one_of",
    "option",
    "pass_as",
    "read_consumers",
    "required",
    "scopes_of",
    "secret_of_base64",
    "server_authority",
    "set_by_handlers_only",
    "signers_of",
    "subprotocols",
    "target_without",
    "texts_of",
    "token_of_message",
]
