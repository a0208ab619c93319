"""The sign-in itself: the authorization code flow with PKCE, a nonce, and a ``state`` that the browser carries.

Authlib builds what is asked and reads what OAuth answers; all of it goes through our own HTTP, which is bounded in time
and size and follows no redirect (OpenID Connect Core section 3.1). The ID token is verified as every identity token is.
Nothing is kept about a sign-in that has begun. This module finds out who somebody is, never what they may do.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]

from indexpass._files import read_private
from indexpass._secret import Secret
from indexpass._url import IndexUrl
from indexpass.broker.company.metadata import MetadataKeeper
from indexpass.broker.company.person import CompanyRefused, read_person
from indexpass.broker.settings import People, TrustedIssuer
from indexpass.broker.trust.claims import find_claim
from indexpass.broker.trust.public_http import is_address, open_public_http
from indexpass.broker.trust.verify import LEEWAY_SECONDS, Unverified, Verifier
from indexpass.errors import BrokerError, BrokerMisbehaved, BrokerUnreachable, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]

    from indexpass._model import Answer, Http
    from indexpass.broker.company.metadata import Metadata
    from indexpass.broker.company.person import CompanyPerson
    from indexpass.broker.settings import Company, Settings

ANSWER_SECONDS = 10.0  # for each of up to four answers of the provider, while a person looks at an empty page
CALLBACK_PATH = "/company/callback"
_MEMBERS = ("access_token", "token_type", "id_token", "error")  # of a token answer, all texts; the rest is not read
_ERRORS = frozenset(  # RFC 6749 section 4.1.2.1, OpenID Connect Core section 3.1.2.6
    (
        "access_denied",
        "account_selection_required",
        "consent_required",
        "interaction_required",
        "invalid_request",
        "invalid_scope",
        "login_required",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    )
)


class CompanySignIn:
    """The broker as the provider's client. Its calls block: run them on a thread."""

    def __init__(  # noqa: PLR0913  # what it is made of, nearly all by keyword
        self,
        settings: Settings,
        company: Company,
        *,
        cookie_secret: Secret,
        http: Http,
        now: Callable[[], float],
        public_http: Http | None = None,
    ) -> None:
        """Read the client secret, and ask the provider nothing yet. Raises StoreError.

        ``public_http`` asks what may not be at a private address; by default it cannot.
        """
        self.company = company
        self._client_secret = _read_secret(company.client_secret_file) if company.client_secret_file else None
        self._cookie_secret = cookie_secret
        self._redirect_uri = f"{settings.issuer}{CALLBACK_PATH}"
        self._max_age = company.max_age_seconds or settings.session_seconds
        people = (policy.who for policy in settings.policies if isinstance(policy.who, People))
        self._needs_groups = bool(company.required_groups) or any(who.groups for who in people)
        # What the provider's metadata names may be private only if the provider is, by its address or by the settings.
        is_private = company.is_private or is_address(IndexUrl.parse(company.issuer).origin.host)
        public_http = public_http or open_public_http(total_seconds=ANSWER_SECONDS)
        self._http = http if is_private else public_http
        self._now = now
        self._metadata = MetadataKeeper(company.issuer, http=self._http, now=now)
        issuer = TrustedIssuer(
            "company", company.issuer, company.client_id, jwks_url=None, replay="once", is_private=company.is_private
        )
        trusted = replace(settings, trusted_issuers=(issuer,))
        self._verifier = Verifier(trusted, http=http, now=now, public_http=public_http)

    def begin(self) -> tuple[str, str]:
        """Return where the browser goes, and the ``state`` that it will come back with. Raises CompanyRefused."""
        metadata = self._find_metadata()
        state = secrets.token_urlsafe(32)
        url, _ = self._client(metadata).create_authorization_url(
            metadata.authorization_endpoint,
            state=state,
            nonce=self._derive("nonce", state),
            code_verifier=self._derive("code_verifier", state),
            # Who comes after the session here is over is asked again, however long the company's own sign-in lasts.
            max_age=self._max_age,
        )
        return str(url), state

    def finish(self, state: str, answer: Mapping[str, str]) -> CompanyPerson:
        """Return the person to whom the provider's answer leads, as the browser brought it.

        ``state`` must be the one that this very browser left with. Raises CompanyRefused.
        """
        metadata = self._find_metadata()
        issuer = answer.get("iss", "" if metadata.has_issuer_in_answers else self.company.issuer)
        if issuer != self.company.issuer:  # RFC 9207 section 2.4
            raise self._failed("the answer in the browser names another issuer, or none")
        if "code" not in answer:
            raise self._turned_away(answer.get("error", ""))
        try:
            token = self._redeem(metadata, answer["code"], state)
            claims = self._verify(token.get("id_token", ""), state)
            if metadata.userinfo_endpoint and self._is_incomplete(claims):
                said = {name: value for name, value in claims.items() if value is not None}
                claims = {**self._ask_userinfo(metadata.userinfo_endpoint, token, claims["sub"]), **said}
        except BrokerError as error:
            raise self._away(error) from None
        return read_person(claims, self.company)

    def _find_metadata(self) -> Metadata:
        try:
            return self._metadata.find()
        except BrokerError as error:
            raise self._away(error) from None

    def _client(self, metadata: Metadata) -> OAuth2Client:
        return OAuth2Client(
            _Outside(self._http),
            client_id=self.company.client_id,
            client_secret=self._client_secret.reveal() if self._client_secret else None,
            token_endpoint_auth_method=self._auth_method(metadata),
            scope=" ".join(self.company.scopes),
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
        )

    def _auth_method(self, metadata: Metadata) -> str:
        """Return how the client proves itself at the token endpoint (OpenID Connect Core section 9)."""
        if self._client_secret is None:
            return "none"
        for method in ("client_secret_basic", "client_secret_post"):
            if method in metadata.auth_methods:
                return method
        raise self._failed("the provider's metadata lists no way to send a client secret")

    def _redeem(self, metadata: Metadata, code: str, state: str) -> Mapping[str, str]:
        """Trade the code for the provider's tokens (OpenID Connect Core section 3.1.3)."""
        verifier = self._derive("code_verifier", state)
        try:
            token: dict[str, str] = self._client(metadata).fetch_token(
                metadata.token_endpoint, grant_type="authorization_code", code=code, code_verifier=verifier
            )
        except AuthlibBaseError:
            raise self._failed("the provider refused the code, or the client's id and secret") from None
        return token

    def _verify(self, id_token: str, state: str) -> Mapping[str, object]:
        """Return the claims of the ID token (OpenID Connect Core section 3.1.3.7)."""
        try:
            claims = self._verifier.verify(Secret(id_token)).claims
        except Unverified as error:
            raise self._failed(f"the ID token is refused: {error}") from None
        nonce = str(claims.get("nonce"))
        if not hmac.compare_digest(nonce.encode(errors="surrogatepass"), self._derive("nonce", state).encode()):
            raise self._failed("the ID token is refused: it was made for another sign-in")
        if claims.get("azp", self.company.client_id) != self.company.client_id:
            raise self._failed("the ID token is refused: it was made for another client")
        self._check_age(claims.get("auth_time"))
        return claims

    def _check_age(self, proved_at: object) -> None:
        """Refuse who proved themselves too long ago. The provider need not say when, unless the settings want it."""
        if proved_at is None and self.company.max_age_seconds is None:
            return
        if isinstance(proved_at, bool) or not isinstance(proved_at, (int, float)):
            raise self._failed("the ID token is refused: its auth_time is missing or no time")
        if not self._now() - proved_at <= self._max_age + LEEWAY_SECONDS:  # so that NaN is refused as well
            raise self._failed("the ID token is refused: the person proved themselves too long ago")

    def _is_incomplete(self, claims: Mapping[str, object]) -> bool:
        """Is a claim missing that the provider may tell at its userinfo endpoint?"""
        is_without_groups = self._needs_groups and find_claim(claims, self.company.groups_claim) is None
        return is_without_groups or all(find_claim(claims, name) is None for name in self.company.name_claims)

    def _ask_userinfo(self, url: str, token: Mapping[str, str], subject: object) -> Mapping[str, object]:
        """Return the claims that are told beside the ID token (OpenID Connect Core section 5.3)."""
        authorization = Secret(f"Bearer {token.get('access_token', '')}")
        answer = self._http.get_json(url, authorization=authorization)
        if answer.status != 200 or not isinstance(answer.body, dict):  # noqa: PLR2004  # RFC 9110
            raise BrokerUnreachable(f"the userinfo cannot be had: status {answer.status}")
        if answer.body.get("sub") != subject:
            raise self._failed("the userinfo is that of another person")
        return answer.body

    def _turned_away(self, error: str) -> CompanyRefused:
        """Return what the provider's own refusal makes; an error that no standard knows is not repeated."""
        name = self.company.name
        if error not in _ERRORS:
            return self._failed("the answer in the browser has neither a code nor an error that is known")
        if error == "access_denied":
            return CompanyRefused(
                "the provider says access_denied", f"{name} did not let you in, or you stopped there."
            )
        return CompanyRefused(f"the provider says {error}", f"{name} could not sign you in.")

    def _failed(self, reason: str) -> CompanyRefused:
        told = f"What {self.company.name} answered cannot be used. If it happens again, tell whoever runs this broker."
        return CompanyRefused(reason, told, status=502)

    def _away(self, error: BrokerError) -> CompanyRefused:
        return CompanyRefused(str(error), f"{self.company.name} cannot be asked at the moment.", status=503)

    def _derive(self, purpose: str, state: str) -> str:
        """Return a secret of this sign-in, which need not be kept: whoever has our secret can derive it again."""
        text = f"company {purpose}\0{state}"
        return hmac.digest(self._cookie_secret.reveal().encode(), text.encode(), "sha256").hex()


class _Outside:
    """What Authlib takes for a session of requests: a way to our own HTTP, for the one request that it sends."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth) -> _Reply:
        _, signed, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        authorization = Secret(signed["Authorization"]) if "Authorization" in signed else None
        return _Reply(self._http.post_form(url, dict(parse_qsl(body)), authorization=authorization))


class _Reply:
    """What Authlib takes for a response of requests."""

    def __init__(self, answer: Answer) -> None:
        self.status_code = answer.status
        self._body = answer.body

    def json(self) -> dict[str, str]:
        """Return the members that are needed, so that no exception can quote any other."""
        if not isinstance(self._body, dict):
            raise BrokerMisbehaved(f"the token endpoint answers {self.status_code} without JSON")
        return {name: self._body[name] for name in _MEMBERS if isinstance(self._body.get(name), str)}

    def raise_for_status(self) -> None:
        raise BrokerUnreachable(f"the token endpoint answers {self.status_code}")


def _read_secret(file: Path) -> Secret:
    """Return the client secret in the file. Raises StoreError."""
    try:
        text = (read_private(file) or b"").decode().strip()
    except UnicodeDecodeError:
        text = ""
    if not text.isprintable() or not text:
        raise StoreError(
            f"{file} holds no client secret",
            hint=f"write the secret that the company gave you: install -m 600 /dev/stdin {file}",
        )
    return Secret(text)
