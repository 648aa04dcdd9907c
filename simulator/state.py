"""Everything the fake platform remembers. Plain data; whoever changes it holds `World.lock`."""

import itertools
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simulator import ids
from simulator.blobs import Blobs
from simulator.clock import Clock
from simulator.errors import ControlError
from simulator.faults import Faults

CHAT_LENGTH = 500  # messages that a phone keeps per account
JOURNAL_LENGTH = 2000  # pushes, and API calls, that can be looked at afterwards


@dataclass
class Token:
    """An access token: `superseded_at` is when a newer one of its channel took its place."""

    value: str
    channel: str  # "normal" or "stable": they never invalidate each other
    issued_at: float
    expires_at: float
    superseded_at: float | None = None


@dataclass
class Ticket:
    """A QR code. `expires_at` is None for a permanent one."""

    ticket: str
    url: str
    action: str
    scene: str
    expires_at: float | None = None


@dataclass
class Media:
    """An uploaded file; its bytes are in the blob store under `media_id`. Permanent if `expires_at` is None."""

    media_id: str
    type: str
    filename: str
    content_type: str
    created_at: float
    expires_at: float | None = None
    in_library: bool = False  # permanent material; a picture for articles is in none


@dataclass
class Draft:
    """Articles that can be sent or published; gone with the mass message that was made of them."""

    media_id: str
    articles: list[dict[str, Any]]
    updated_at: int


@dataclass
class Publication:
    """Articles on the account's page; `status` as freepublish/get has it."""

    publish_id: str
    article_id: str
    articles: list[dict[str, Any]]
    status: int
    at: int


@dataclass
class MassJob:
    """A mass message: its figures are what MASSSENDJOBFINISH says."""

    msg_id: str
    kind: str
    at: int
    key: str
    status: str = ""
    total: int = 0
    filtered: int = 0
    sent: int = 0
    errors: int = 0
    deleted: bool = False


@dataclass
class Tag:
    """What an account sticks on followers; `count` is how many followers have it at present."""

    id: int
    name: str
    count: int = 0


@dataclass
class Contact:
    """What an account and a person have in common; exists before they follow and after they leave."""

    openid: str
    user_id: str
    subscribed: bool = False
    subscribe_time: int = 0
    subscribe_scene: str = "ADD_SCENE_OTHERS"
    qr_scene: int = 0
    qr_scene_str: str = ""
    remark: str = ""
    tags: list[int] = field(default_factory=list)
    blacklisted: bool = False
    last_spoke_at: float = 0.0
    typing_until: float = 0.0
    credits: dict[str, list[float]] = field(
        default_factory=dict
    )  # kind -> [ends_at, messages left]
    subscriptions: dict[str, int] = field(default_factory=dict)  # template -> messages allowed
    messages: list[dict[str, Any]] = field(default_factory=list)
    mass_month: list[int] = field(default_factory=list)  # [month, mass messages in it]


@dataclass
class Grant:
    """What a person allowed a web page, found by its code and later by its tokens."""

    app_id: str
    openid: str
    user_id: str
    scope: str
    issued_at: float
    snapshot: bool = False
    used: bool = False  # the code; it works once


@dataclass
class Account:
    """An official account, as its owner set it up in the platform's console."""

    app_id: str
    secret: str
    token: str = ""
    aes_key: str = ""
    gh_id: str = ""
    name: str = ""
    mode: str = "plain"
    callback_url: str = ""
    unionid: bool = False  # bound to an open-platform account
    allowed_ips: list[str] = field(default_factory=list)  # empty: no white list
    templates: list[dict[str, str]] = field(default_factory=list)  # empty: any template id is taken
    subscription_templates: list[dict[str, str]] = field(default_factory=list)
    web_domains: list[str] = field(default_factory=list)  # empty: OAuth may return anywhere
    web_cookie: str = ""  # by which its pages remember a visitor; dropped when another phone comes
    web_cookie_path: str = "/"
    tokens: dict[str, Token] = field(default_factory=dict)
    forced_at: list[float] = field(default_factory=list)  # stable_token with force_refresh
    tickets: dict[str, Ticket] = field(default_factory=dict)
    ticket_of_url: dict[str, str] = field(default_factory=dict)
    ticket_of_scene: dict[str, str] = field(default_factory=dict)
    permanent_tickets: int = 0
    menu: dict[str, Any] | None = None
    menu_id: int = 0
    conditional_menus: list[dict[str, Any]] = field(default_factory=list)  # the newest last
    tags: dict[str, Tag] = field(default_factory=lambda: {"2": Tag(2, "星标组")})  # by id
    next_tag_id: int = 100
    media: dict[str, Media] = field(default_factory=dict)
    contacts: dict[str, Contact] = field(default_factory=dict)
    sent_messages: dict[str, list[float]] = field(
        default_factory=dict
    )  # client_msg_id -> [msgid, sent_at]
    usage: dict[str, list[int]] = field(default_factory=dict)  # path -> [day, calls]
    clearings: dict[str, int] = field(default_factory=dict)  # month -> quota clearings
    path_clearings: dict[str, int] = field(default_factory=dict)  # month -> those of one path
    drafts: dict[str, Draft] = field(default_factory=dict)
    publications: dict[str, Publication] = field(default_factory=dict)
    sent_articles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # by the draft
    mass_jobs: dict[str, MassJob] = field(default_factory=dict)
    mass_keys: dict[str, list[float]] = field(default_factory=dict)  # clientmsgid -> [msg_id, at]
    mass_asked: dict[str, list[Any]] = field(default_factory=dict)  # clientmsgid -> [at, answer]
    mass_protected: bool = False  # a mass message to all waits for an administrator
    mass_speed: int = 0
    jsapi_ticket: list[Any] = field(default_factory=list)  # [ticket, expires_at]


@dataclass
class User:
    """A person with a phone. One openid per account, one unionid over all."""

    id: str
    name: str
    unionid: str
    platform: str = "2"  # client_platform_type: "1" iOS, "2" Android, "3" others
    openids: dict[str, str] = field(default_factory=dict)


@dataclass
class Shop:
    """The merchant's shop that reports orders; see shop.py."""

    name: str
    account: str
    base_url: str
    key: str
    secret: str
    products: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Order:
    """What a person bought in the simulated shop."""

    order_no: str
    shop: str
    user_id: str
    openid: str
    lines: list[dict[str, Any]]
    paid_at: str
    completed_at: str | None = None
    refunds: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What a shop told the merchant's API, and the answer; status None when nobody answered."""

    id: int
    at: float
    account: str
    openid: str
    order_no: str
    path: str
    body: dict[str, Any]
    status: int | None
    answer: Any
    ms: float


@dataclass
class GuideStep:
    """A line of the newcomer's guide; with `does` it ticks itself off, see guide.py."""

    text: str
    user: str = ""
    does: str = ""
    what: str = ""
    done: bool = False


@dataclass
class Guide:
    """The newcomer's guide, and how far things were when it was set."""

    steps: list[GuideStep] = field(default_factory=list)
    since: int = 0  # the last id then
    orders_before: int = 0


@dataclass
class Certificate:
    """平台证书: one of ours for a merchant, with its private key, both as PEM."""

    serial_no: str
    certificate: str
    private_key: str
    effective_at: float
    expires_at: float


@dataclass
class Merchant:
    """商户号: who pays and is paid through WeChat Pay, with the keys of both sides as PEM."""

    mch_id: str
    api_v3_key: str
    serial_no: str  # of the merchant's certificate
    public_key: str  # by which the merchant's requests are verified
    public_key_id: str  # the name of our public key
    platform_key: str  # our private key for this merchant
    balance_fen: int = 0
    bill_max_fen: int = 20_000_000  # the most for one transfer
    app_ids: list[str] = field(default_factory=list)  # empty: every account
    signs_with: str = (
        "public_key"  # or "certificate", or "mixed" (a merchant on the way to public keys)
    )
    certificates: list[Certificate] = field(default_factory=list)  # the newest last
    fee_bps: int = 60  # what we keep of a payment
    share_max_bps: int = 3000  # the most of a payment that may be shared with others
    receivers: list[dict[str, str]] = field(default_factory=list)  # of profit sharing
    share_notify_url: str = ""  # where its results are told; set in the merchant's console


@dataclass
class PayOrder:
    """JSAPI 订单: what a person is asked to pay. Amounts in fen; `frozen_fen` waits to be shared."""

    mch_id: str
    out_trade_no: str
    app_id: str
    openid: str
    description: str
    total_fen: int
    notify_url: str
    attach: str
    profit_sharing: bool
    content: str  # of the request, to recognise a repetition
    created_at: float
    updated_at: float
    expires_at: float
    prepay_id: str
    prepay_expires_at: float
    state: str = "NOTPAY"
    transaction_id: str = ""
    success_at: float | None = None
    refunded_fen: int = 0
    frozen_fen: int = 0
    shared_fen: int = 0
    fee_fen: int = 0
    notify_at: float | None = None
    notify_tries: int = 0
    notices: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Refund:
    """退款: a part of an order on its way back. `due_at` is when it ends; None when it has."""

    mch_id: str
    out_refund_no: str
    refund_id: str
    out_trade_no: str
    transaction_id: str
    amount_fen: int
    total_fen: int
    reason: str
    notify_url: str
    content: str
    created_at: float
    updated_at: float
    due_at: float | None
    state: str = "PROCESSING"
    repaired: bool = False  # by apply-abnormal-refund
    success_at: float | None = None
    notify_at: float | None = None
    notify_tries: int = 0
    notices: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Share:
    """分账单: one request to share an order's money. Each receiver {type, account, amount, description, result, …}."""

    mch_id: str
    out_order_no: str
    order_id: str
    transaction_id: str
    app_id: str
    receivers: list[dict[str, Any]]
    unfreeze: bool
    content: str
    notify_url: str
    created_at: float
    updated_at: float
    due_at: float | None
    state: str = "PROCESSING"
    told: int = 0  # receivers that notices were made for
    notify_at: float | None = None
    notify_tries: int = 0
    notices: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class ShareReturn:
    """分账回退: money that a receiver gives back."""

    mch_id: str
    out_return_no: str
    return_id: str
    order_id: str
    out_order_no: str
    return_mchid: str
    amount_fen: int
    description: str
    content: str
    created_at: float
    due_at: float | None
    result: str = "PROCESSING"
    fail_reason: str = ""


@dataclass
class Transfer:
    """商家转账: one bill. `notify_at` is when the next notice is due; None when none is."""

    mch_id: str
    out_bill_no: str
    transfer_bill_no: str
    app_id: str
    openid: str
    amount_fen: int
    remark: str
    scene_id: str
    user_name: str
    report_infos: list[dict[str, str]]
    perception: str
    notify_url: str
    created_at: float
    updated_at: float
    state: str = "ACCEPTED"
    package_info: str = ""
    fail_reason: str = ""
    creations: int = 1  # how often this number was sent
    notify_at: float | None = None
    notify_tries: int = 0
    notices: list[dict[str, Any]] = field(default_factory=list)
    authorization_no: str = ""  # 免确认收款授权: what it was paid by, or what it asks for
    receipt_at: float | None = None  # when its 电子回单 was applied for


@dataclass
class Authorization:
    """免确认收款授权: what a person allowed a merchant, for transfers of one scene."""

    mch_id: str
    out_authorization_no: str
    authorization_id: str
    app_id: str
    openid: str
    scene_id: str
    user_display_name: str
    perception: str
    notify_url: str
    package_info: str
    created_at: float
    state: str = "WAIT_USER_CONFIRM"
    authorized_at: float | None = None
    closed_at: float | None = None
    close_reason: str = ""


@dataclass
class State:
    """What survives a restart when there is a state file."""

    accounts: dict[str, Account] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    shops: dict[str, Shop] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    merchants: dict[str, Merchant] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)  # by out_bill_no
    authorizations: dict[str, Authorization] = field(
        default_factory=dict
    )  # by the merchant's number
    pay_orders: dict[str, PayOrder] = field(default_factory=dict)  # by mch_id and out_trade_no
    refunds: dict[str, Refund] = field(default_factory=dict)  # by mch_id and out_refund_no
    shares: dict[str, Share] = field(default_factory=dict)  # by mch_id and out_order_no
    share_returns: dict[str, ShareReturn] = field(
        default_factory=dict
    )  # by mch_id and out_return_no
    guide: Guide = field(default_factory=Guide)
    last_id: int = 0


class World:
    """The state with its lock, its clock and its faults, and what is forgotten at exit (journals, grants)."""

    def __init__(self, clock: Clock, blobs: Blobs, state: State | None = None) -> None:
        self.lock = threading.RLock()
        self.clock = clock
        self.blobs = blobs
        self.faults = Faults()
        self.calls: deque[Any] = deque(maxlen=JOURNAL_LENGTH)
        self.acts: deque[dict[str, Any]] = deque(maxlen=JOURNAL_LENGTH)  # POST calls to /_sim/
        self.pushes: deque[Any] = deque(maxlen=JOURNAL_LENGTH)
        self.notices: deque[dict[str, Any]] = deque(maxlen=JOURNAL_LENGTH)  # of WeChat Pay
        self.reports: deque[Report] = deque(maxlen=JOURNAL_LENGTH)
        self.grants: dict[str, Grant] = {}  # by OAuth code, access token and refresh token
        self.limits: dict[str, int | None] = {}  # path -> calls a day
        self.minute_limits: dict[str, int | None] = {}  # path -> calls a minute
        self.state = state or State()
        self._ids: Iterator[int] = itertools.count(self.state.last_id + 1)
        self._user_of_name: dict[str, str] = {}
        for user in self.state.users.values():
            self._user_of_name.setdefault(user.name, user.id)
        self.changes = 0  # grows with everything that may have changed the state

    def now(self) -> float:
        """The simulated time, seconds since the epoch."""
        return self.clock.now()

    def next_id(self) -> int:
        """1, 2, 3 …: one sequence for everything, so that later things have greater numbers."""
        self.state.last_id = next(self._ids)
        return self.state.last_id

    def next_msgid(self) -> int:
        """A 64-bit number that no other message has, also after a restart without a state file."""
        return (int(self.now()) << 24) + (self.next_id() & 0xFFFFFF)

    def reset(self) -> None:
        """Forget everything and switch all faults off; the clock stays."""
        with self.lock:
            self.state = State()
            self._ids = itertools.count(1)
            self._user_of_name.clear()
            self.faults = Faults()
            self.grants.clear()
            self.calls.clear()
            self.pushes.clear()
            self.reports.clear()
            self.notices.clear()
            self.acts.clear()
            self.blobs.clear()

    @property
    def accounts(self) -> list[Account]:
        """All accounts at this moment."""
        return list(self.state.accounts.values())

    def add_user(self, user: User) -> None:
        """A new person; where two have one name, the name means the first of them."""
        with self.lock:
            self.state.users[user.id] = user
            self._user_of_name.setdefault(user.name, user.id)

    def get_account(self, app_id: str | None) -> Account:
        """The account with this app id (or gh id, or name); without one, the only account there is."""
        accounts = self.state.accounts
        if app_id in accounts:
            return accounts[app_id]
        if not app_id and len(accounts) == 1:
            return next(iter(accounts.values()))
        for account in self.accounts:
            if app_id and app_id in (account.gh_id, account.name):
                return account
        if not app_id and accounts:
            raise ControlError("there are several accounts: say which")
        raise ControlError(f"no account {app_id or ''}", 404)

    def get_user(self, wanted: str) -> User:
        """The person with this id, name or openid."""
        users = self.state.users
        if wanted in users:
            return users[wanted]
        if wanted in self._user_of_name:
            return users[self._user_of_name[wanted]]
        for account in self.accounts:
            if contact := account.contacts.get(wanted):
                return users[contact.user_id]
        raise ControlError(f"no user {wanted!r}", 404)

    def contact_of(self, account: Account, user: User) -> Contact:
        """The contact between the two; a person gets an openid the moment somebody asks for it."""
        with self.lock:
            openid = user.openids.setdefault(account.app_id, ids.openid(account.app_id))
            return account.contacts.setdefault(openid, Contact(openid, user.id))

    def add_message(self, contact: Contact, sender: str, kind: str, **content: Any) -> int:
        """Show a message in the person's chat and return its id; the oldest ones scroll out."""
        with self.lock:
            message = {
                "id": self.next_id(),
                "at": self.now(),
                "from": sender,
                "type": kind,
                **content,
            }
            contact.messages.append(message)
            if len(contact.messages) > CHAT_LENGTH:
                del contact.messages[:-CHAT_LENGTH]
            return int(message["id"])
