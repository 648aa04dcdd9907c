"""Access tokens: two channels that never disturb each other, overlap, expiry, and the table behind them."""

from simulator import ids
from simulator.errors import ApiError
from simulator.state import Account, Token, World

LIFETIME_SECONDS = 7200
OVERLAP_SECONDS = 300  # how long an old token works beside its successor
_KEPT_SECONDS = 86_400  # how long an expired token is still called expired instead of unknown


def account_of_secret(world: World, app_id: str | None, secret: str | None) -> Account:
    """The account that proves itself with its secret."""
    if not app_id:
        raise ApiError(41002)
    if not secret:
        raise ApiError(41004)
    account = world.state.accounts.get(app_id)
    if account is None:
        raise ApiError(40013)
    if secret != account.secret:
        raise ApiError(40125)
    return account


def check_address(account: Account, client_ip: str) -> None:
    """40164 for an address that is not on the account's white list."""
    if account.allowed_ips and client_ip not in account.allowed_ips:
        raise ApiError(40164, client_ip)


def account_of_token(world: World, value: str | None) -> Account:
    """The account this token was issued to: 41001 without one, 42001 when it has expired, else 40001."""
    if not value:
        raise ApiError(41001)
    now = world.now()
    for account in world.accounts:
        if token := account.tokens.get(value):
            _check(token, now)
            return account
    raise ApiError(world.faults.invalid_token_errcode)


def _check(token: Token, now: float) -> None:
    if token.expires_at <= now:
        raise ApiError(42001)
    if token.superseded_at is not None and token.superseded_at + OVERLAP_SECONDS <= now:
        raise ApiError(40001)


def current(account: Account, channel: str) -> Token | None:
    """The token of this channel that no newer one has replaced."""
    for token in reversed(account.tokens.values()):
        if token.channel == channel and token.superseded_at is None:
            return token
    return None


def issue(world: World, account: Account, channel: str, *, overlap: bool = True) -> Token:
    """A new token; the one before works on for five minutes, or dies at once without `overlap`."""
    with world.lock:
        now = world.now()
        before = current(account, channel)
        if before is not None:
            before.superseded_at = now if overlap else now - OVERLAP_SECONDS
        _forget_old(account, now)
        token = Token(ids.access_token(), channel, now, now + LIFETIME_SECONDS)
        account.tokens[token.value] = token
        return token


def current_or_new(world: World, account: Account) -> Token:
    """The stable channel: the same token until five minutes before it expires, then the next one."""
    with world.lock:
        token = current(account, "stable")
        if token is None or token.expires_at - OVERLAP_SECONDS <= world.now():
            return issue(world, account, "stable")
        return token


def rotate_all(world: World) -> None:
    """Make every token of every account invalid, as a console reset of the secret does."""
    with world.lock:
        for account in world.accounts:
            for token in account.tokens.values():
                token.superseded_at = world.now() - OVERLAP_SECONDS


def _forget_old(account: Account, now: float) -> None:
    for value, token in list(account.tokens.items()):
        if token.expires_at + _KEPT_SECONDS < now:
            del account.tokens[value]
