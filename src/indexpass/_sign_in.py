"""The two ways in which a person signs in at a broker: in the browser of this machine, or on any other screen.

The browser comes back to a listener on loopback with a code (RFC 6749 section 4.1, RFC 7636, RFC 8252); without one,
the person is shown a page and a code to compare (RFC 8628). Both end in a grant. This module keeps nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass import _wire
from indexpass._authorization import AuthorizationRequest, challenge_of, new_state, new_verifier, parse_answer
from indexpass._browser import Listener
from indexpass._model import Invitation
from indexpass._url import IndexUrl
from indexpass.errors import BrokerMisbehaved, BrokerRefused, BrokerUnreachable, SessionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from indexpass._metadata import Metadata
    from indexpass._model import Http
    from indexpass._wire import DeviceAuthorization, TokenAnswer

_SLOW_DOWN_SECONDS = 5  # RFC 8628 section 3.5
_MAX_LOST = 3  # answers in a row


def by_browser(
    resource: IndexUrl, metadata: Metadata, http: Http, *, browse: Callable[[str], bool]
) -> TokenAnswer | None:
    """Return the grant that a person approved in the browser which ``browse`` opens.

    Returns None if the broker does not offer this, or no browser opens. Raises BrokerError or SessionError.
    """
    endpoint = metadata.authorization_endpoint
    if endpoint is None:
        return None
    verifier, state = new_verifier(), new_state()
    try:
        with Listener(lambda query: parse_answer(query, state=state, issuer=metadata.issuer)) as listener:
            redirect_uri = listener.redirect_uri
            asked = AuthorizationRequest(
                redirect_uri=redirect_uri,
                resource=str(resource),
                scope=_wire.SCOPES["read"],
                state=state,
                code_challenge=challenge_of(verifier),
            )
            url = f"{endpoint}{'&' if '?' in endpoint else '?'}{asked.query}"
            code = listener.wait(lambda: browse(url))
    except BrokerRefused as error:
        raise explained(error) from error
    if code is None:
        return None
    form = _wire.code_form(code, verifier=verifier, redirect_uri=redirect_uri)
    return _wire.TokenAnswer.parse(http.post_form(metadata.token_endpoint, form))


def by_device(  # noqa: PLR0913  # the outside world, all by keyword
    resource: IndexUrl,
    metadata: Metadata,
    http: Http,
    *,
    show: Callable[[Invitation], None],
    wait: Callable[[float], None],
    now: Callable[[], float],
) -> TokenAnswer:
    """Return the grant that a person approved on whatever screen. Raises BrokerError or SessionError."""
    answer = http.post_form(metadata.device_authorization_endpoint, _wire.device_form(resource))
    device = _wire.DeviceAuthorization.parse(answer)
    form = _wire.device_token_form(device.device_code)

    def ask() -> TokenAnswer:
        return _wire.TokenAnswer.parse(http.post_form(metadata.token_endpoint, form))

    invite(device, metadata.issuer, show=show)
    return await_approval(device, ask, wait=wait, now=now)


def invite(device: DeviceAuthorization, broker: str, *, show: Callable[[Invitation], None]) -> None:
    """Show the person where to sign in. Raises BrokerMisbehaved if that is another site than the broker's."""
    _require_same_origin(device, broker)
    show(
        Invitation(
            url=device.verification_uri,
            direct_url=device.verification_uri_complete,
            code=device.user_code,
            expires_in=device.expires_in,
        )
    )


def await_approval(
    device: DeviceAuthorization,
    ask: Callable[[], TokenAnswer],
    *,
    wait: Callable[[float], None],
    now: Callable[[], float],
) -> TokenAnswer:
    """Return the grant that ``ask`` brings once the person has approved. Raises BrokerError or SessionError."""
    interval, lost = device.interval, 0
    deadline = now() + device.expires_in
    while now() < deadline:  # as slowly as the broker wants (RFC 8628 sections 3.4 and 3.5)
        wait(interval)
        try:
            return ask()
        except BrokerUnreachable:
            # A person is on their way: one lost answer, or a broker that starts anew, should not send them back.
            lost += 1
            if lost > _MAX_LOST:
                raise
            interval += _SLOW_DOWN_SECONDS
        except BrokerRefused as error:
            lost = 0
            if error.reason == "slow_down":
                interval += _SLOW_DOWN_SECONDS
            elif error.reason != "authorization_pending":
                raise explained(error) from error
    raise SessionError("nobody approved the sign-in in time", hint="run the command again")


def _require_same_origin(device: DeviceAuthorization, broker: str) -> None:
    """Refuse to send a person to another site than the broker that they chose."""
    home = IndexUrl.parse(broker).origin
    for url in (device.verification_uri, device.verification_uri_complete):
        if IndexUrl.parse(url).origin != home:
            raise BrokerMisbehaved(f"{broker} wants you to sign in on another site")


def explained(error: BrokerRefused) -> BrokerRefused | SessionError:
    """Return what a refusal means to the person who wanted to sign in."""
    if error.reason == "expired_token":
        return SessionError("nobody approved the sign-in in time", hint="run the command again")
    if error.reason == "access_denied":
        return BrokerRefused("the sign-in was denied", reason=error.reason, hint="run the command again to retry")
    return error
