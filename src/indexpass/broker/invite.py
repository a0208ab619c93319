"""Begin a device sign-in (RFC 8628 section 3.2): what the program shows, and what the person will be asked.

This module never decides whether the person may do what is asked; that happens when the sign-in is picked up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexpass._wire import SCOPES, DeviceAuthorization
from indexpass.broker.exchange import check_client, find_index, find_operations
from indexpass.broker.oauth import OAuthError, required
from indexpass.broker.state import devices

if TYPE_CHECKING:
    from collections.abc import Mapping

    from indexpass.broker.service import Broker


def invite(broker: Broker, form: Mapping[str, str], *, address: str) -> DeviceAuthorization:
    """Return the invitation that the program shows to the person. Blocks: run it on a thread. Raises OAuthError."""
    client_id = required(form, "client_id")
    check_client(form)
    index = find_index(broker.settings, form.get("resource", ""))
    operations = find_operations(form.get("scope", ""))
    now = broker.now()
    with broker.store.writing() as connection:
        if wait := devices.wait_seconds(connection, address, now):
            raise OAuthError("slow_down", "too many sign-ins wait for their code", status=429, retry_after=wait)
        device_code, user_code = devices.begin(
            connection,
            client_id=client_id,
            resource=index.resource,
            scope=" ".join(SCOPES[operation] for operation in operations),
            address=address,
            now=now,
        )
    page = f"{broker.settings.issuer}/device"
    return DeviceAuthorization(
        device_code=device_code,
        user_code=user_code,
        verification_uri=page,
        verification_uri_complete=f"{page}?user_code={user_code}",
        expires_in=devices.LIFE_SECONDS,
        interval=devices.INTERVAL_SECONDS,
    )
