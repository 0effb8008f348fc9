"""Encryption, callers, and the record of what they did."""

from pydantic import Field

from lockstitch_server.config.fields import Group


class Tls(Group):
    """Encryption. Files are read again when they change; existing connections continue."""

    certificate: str = Field(
        default="", description="PEM file: the server's certificate and the intermediate ones. Empty: no TLS."
    )
    private_key: str = Field(default="", description="PEM file: the private key of the certificate.")
    client_ca: str = Field(
        default="",
        description="PEM file: authorities of client certificates. If set, no client can connect without a "
        "certificate (mTLS).",
    )


class Auth(Group):
    """Authentication of callers. Without `keys`, `certificates` and `jwt_issuer`, it is off."""

    keys: str = Field(default="", description="File of bearer keys, as `lockstitch keys` writes it.")
    certificates: str = Field(
        default="", description="TOML file that maps names in client certificates to principals. Needs `tls.client_ca`."
    )
    jwt_issuer: str = Field(default="", description="Issuer of JSON Web Tokens: the exact value of their claim `iss`.")
    jwt_audience: str = Field(
        default="", description="Audience of JSON Web Tokens: the required value of their claim `aud`."
    )
    jwt_keys: str = Field(default="", description="Public keys of the issuer (a JWKS): a file or an `https://` URL.")
    jwt_keys_seconds: float = Field(
        default=300.0,
        ge=10,
        le=86_400,
        allow_inf_nan=False,
        description="Interval at which keys at a URL are fetched again. An unknown key triggers a fetch at once.",
    )
    jwt_tenants_claim: str = Field(
        default="tenants", description="Claim with the tenants: a list, or a text separated by spaces."
    )
    jwt_rights_claim: str = Field(
        default="rights", description="Claim with the rights, in the same form; for example `scope`."
    )
    jwt_rights_prefix: str = Field(
        default="", description="Prefix of rights in that claim, such as `lockstitch:`. Entries without it are ignored."
    )


class Audit(Group):
    """The audit log: who did what to which session."""

    file: str = Field(
        default="", description="File of the audit log, one line of JSON for each record. Empty: no audit log."
    )
    queue_records: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Maximum records in the queue to the file. Further records are dropped, recorded as lost, logged "
        "and counted; with `audit.required`, their calls are refused.",
    )
    required: bool = Field(
        default=False,
        description="Refuse a call (UNAVAILABLE) whose record cannot be kept, and respond only after the record is "
        "written to the file.",
    )
