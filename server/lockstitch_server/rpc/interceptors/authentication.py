"""Authenticates callers, and checks their tenant and rights."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog
from google.protobuf.descriptor import MethodDescriptor

from lockstitch_server.auth import Identification, Principal, Right
from lockstitch_server.core.errors import Failure, Reason
from lockstitch_server.rpc.call_context import DEFAULT_TENANT, CallContext
from lockstitch_server.rpc.handler_types import Incoming, StreamHandler, UnaryHandler
from lockstitch_server.rpc.interceptors.admission import ENDLESS
from lockstitch_server.rpc.rights import right_of

AUTHORIZATION = "authorization"
TENANT = "lockstitch-tenant"
RECHECK_SECONDS = 5.0
"""How long a call without an end of its own may outlast its credentials."""
LOG_SECONDS = 1.0
"""Least time between two log lines about refused credentials: a caller that tries many must not fill the log."""

log = structlog.get_logger(__name__)


class Authentication:
    """Fills in a call's principal and tenant, before anything of the call is read.

    identification: authenticates callers; None: authentication is off.
    """

    def __init__(self, identification: Identification | None) -> None:
        self._identification = identification
        self._refused = 0
        self._log_at = 0.0

    async def identify(self, method: MethodDescriptor, context: CallContext) -> None:
        """Authenticate the caller. The interceptor raises a failure later, so that it is recorded."""
        context.is_looked_at = True
        try:
            context.act_for(await self._tenant(context, right_of(method)))
        except Failure as failure:
            context.refusal = failure

    def unary(self, method: MethodDescriptor, handle: UnaryHandler) -> UnaryHandler:
        async def call(data: bytes, context: CallContext) -> bytes:
            if not context.is_looked_at:
                await self.identify(method, context)
            if context.refusal is not None:
                raise context.refusal
            return await handle(data, context)

        return call

    def stream(self, method: MethodDescriptor, handle: StreamHandler) -> StreamHandler:
        right = right_of(method)
        again = method.name in ENDLESS and self._identification is not None

        async def call(incoming: Incoming, context: CallContext) -> AsyncGenerator[bytes, None]:
            if not context.is_looked_at:
                await self.identify(method, context)
            if context.refusal is not None:
                raise context.refusal
            watch = asyncio.create_task(self._watch(context, right)) if again else None
            try:
                async with aclosing(handle(incoming, context)) as answers:
                    async for answer in answers:
                        yield answer
            finally:
                if watch is not None:
                    watch.cancel()

        return call

    async def _tenant(self, context: CallContext, right: Right) -> str:
        """The tenant that the call is for. Fills in who calls as soon as it is known.

        Fails with CREDENTIALS_MISSING, CREDENTIALS_INVALID, RIGHT_MISSING, TENANT_FORBIDDEN.
        """
        authorization, tenant = _shown(context)
        if self._identification is None:
            context.identified()
            return _tenant((DEFAULT_TENANT,), tenant)
        principal = context.principal = await self._identify(self._identification, authorization, context)
        context.identified()
        if right not in principal.rights:
            raise Failure(Reason.RIGHT_MISSING, f"the caller has not the right {right.value!r}", right=right.value)
        return _tenant(principal.tenants, tenant)

    async def _identify(
        self, identification: Identification, authorization: str | None, context: CallContext
    ) -> Principal:
        try:
            return await identification.identify(authorization, context.certificate)
        except Failure as failure:
            self._tell(failure, context)
            raise

    def _tell(self, failure: Failure, context: CallContext) -> None:
        self._refused += 1
        now = time.monotonic()
        if now >= self._log_at:
            peer = context.peer()
            log.warning("credentials_refused", reason=failure.reason.value, peer=peer, calls=self._refused)
            self._refused, self._log_at = 0, now + LOG_SECONDS

    async def _watch(self, context: CallContext, right: Right) -> None:
        """End the call once its credentials are no longer valid. A client with newer credentials calls again."""
        while await self._is_good(context, right):  # noqa: ASYNC110 - time itself is waited for
            await asyncio.sleep(RECHECK_SECONDS)
        if context.closing is not None and not context.closing.done():
            context.closing.set_result(None)

    async def _is_good(self, context: CallContext, right: Right) -> bool:
        try:
            tenant = await self._tenant(context, right)
        except Failure:
            return False
        return tenant == context.tenant


def _shown(context: CallContext) -> tuple[str | None, str | None]:
    """The metadata entries authorization and lockstitch-tenant. Fails with CREDENTIALS_INVALID if one is there twice.

    Somebody in between may have added the other one, and which of them was checked elsewhere is not to be known.
    """
    found: dict[str, str] = {}
    for name, value in context.entries():
        if name in (AUTHORIZATION, TENANT):
            if name in found or not isinstance(value, str):
                raise Failure(Reason.CREDENTIALS_INVALID, f"{name}: there must be one such metadata entry")
            found[name] = value
    return found.get(AUTHORIZATION), found.get(TENANT)


def _tenant(allowed: tuple[str, ...], named: str | None) -> str:
    """Whose sessions the call is about. Fails with TENANT_FORBIDDEN."""
    if named is not None:
        if named in allowed:
            return named
        # The same whether there is such a tenant or not.
        raise Failure(Reason.TENANT_FORBIDDEN, f"{TENANT}: the caller may not act for this tenant")
    if len(allowed) == 1:
        return allowed[0]
    if not allowed:
        raise Failure(Reason.TENANT_FORBIDDEN, "the caller has no tenant")
    raise Failure(Reason.TENANT_FORBIDDEN, f"the caller has several tenants: name one by the metadata entry {TENANT}")
