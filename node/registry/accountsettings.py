"""Settings of the account: what the registry does for all of its repositories."""

from collections.abc import Mapping

from node.registry.registers import put_register, register
from node.registry.registry import Registry
from node.store.table import ReadTxn
from protocol.auth.caller import Act, Caller
from protocol.errors import ValidationFailed

BLOB_MOUNTING = "BLOB_MOUNTING"
_GROUP = "account-setting"
_VALUE = "value"
_VALUES: Mapping[str, tuple[str, ...]] = {  # The first is what holds as long as nothing was put.
    "BASIC_SCAN_TYPE_VERSION": ("AWS_NATIVE",),
    "REGISTRY_POLICY_SCOPE": ("V2",),
    # ECR begins with DISABLED; here mounts are how every client of the distribution API copies, so they work until
    # somebody says otherwise, and the setting says what is the case.
    BLOB_MOUNTING: ("ENABLED", "DISABLED"),
}


def get_account_setting(registry: Registry, caller: Caller, name: str) -> str:
    """Return what a setting is.

    Raises:
        Denied: without ``ecr:GetAccountSetting``.
        ValidationFailed: there is no such setting.
    """
    registry.authorize(caller, "ecr:GetAccountSetting", None, {"ecr:accountsetting": (name,)})
    _values(name)
    with registry.store.meta.read() as txn:
        return account_setting(registry, txn, name)


async def put_account_setting(registry: Registry, caller: Caller, name: str, value: str) -> None:
    """Change a setting.

    Raises:
        Denied: without ``ecr:PutAccountSetting``.
        ValidationFailed: there is no such setting, or it cannot be *value*.
    """
    registry.authorize(caller, "ecr:PutAccountSetting", None, {"ecr:accountsetting": (name,)})
    values = _values(name)
    if value not in values:
        raise ValidationFailed(f"The account setting {name} can be {' or '.join(values)}, not '{value[:64]}'")
    await put_register(registry, Act(caller, "ecr:PutAccountSetting", name), _GROUP, name, {_VALUE: value})


def account_setting(registry: Registry, txn: ReadTxn, name: str) -> str:
    """Return what a setting is that exists; who asks was allowed to before."""
    value = (register(registry, txn, _GROUP, name) or {}).get(_VALUE)
    return value if isinstance(value, str) else _VALUES[name][0]


def _values(name: str) -> tuple[str, ...]:
    values = _VALUES.get(name)
    if values is None:
        raise ValidationFailed(f"There is no account setting '{name}'; there are {', '.join(sorted(_VALUES))}")
    return values
