"""The configuration of a private Dovecot on loopback, as root or as an ordinary user."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from .certificates import ServerCertificate

Storage: TypeAlias = Literal["sdbox", "mdbox", "maildir"]
Fsync: TypeAlias = Literal["never", "optimized", "always"]


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the server listens on 127.0.0.1."""

    imap: int
    imaps: int
    pop3: int
    pop3s: int


@dataclass(frozen=True, slots=True)
class Owner:
    """Who reads and writes the mail: Dovecot never does so as root."""

    uid: int
    gid: int

    @classmethod
    def pick(cls) -> Owner:
        import pwd  # which Windows lacks

        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            return cls(nobody.pw_uid, nobody.pw_gid)
        return cls(os.geteuid(), os.getegid())


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Everything that decides the configuration."""

    root: Path
    ports: Ports
    owner: Owner
    certificate: ServerCertificate
    storage: Storage
    fsync: Fsync
    special: Mapping[str, str]
    quota: str | None
    pop3: bool
    extra: str


def passwd_file(users: Mapping[str, str], homes: Mapping[str, Path], owner: Owner) -> str:
    """Dovecot's passwd-file: passwords in base64, so that they may hold any character."""
    lines = []
    for user, password in users.items():
        if not user or ":" in user or "\n" in user:
            raise ValueError(f"a Dovecot passwd-file can't hold the login {user!r}")
        secret = base64.b64encode(password.encode()).decode("ascii")
        lines.append(f"{user}:{{PLAIN.b64}}{secret}:{owner.uid}:{owner.gid}::{homes[user]}::\n")
    return "".join(lines)


def render(setup: Setup, version: tuple[int, int]) -> str:
    """The configuration file's text, in the words of Dovecot 2.3 or 2.4."""
    particular = _since_2_4(setup, version) if version >= (2, 4) else _until_2_3(setup)
    return "\n".join(
        [
            particular,
            _general(setup),
            _listeners(setup, version),
            _privileges(setup),
            _folders(setup),
            setup.extra,
            "",
        ]
    )


def _general(setup: Setup) -> str:
    root = setup.root
    return f"""
base_dir = {root}/run
state_dir = {root}/run
log_path = {root}/dovecot.log
listen = 127.0.0.1
instance_name = {root.name}
protocols = imap{" pop3" if setup.pop3 else ""}
ssl = yes

# Any login, as typed: PEC logins are addresses, some hold a slash.
auth_username_chars =
auth_mechanisms = plain login
auth_failure_delay = 0
first_valid_uid = 1
first_valid_gid = 1

mail_fsync = {setup.fsync}
mail_max_userip_connections = 1000
default_vsz_limit = 4G
"""


def _until_2_3(setup: Setup) -> str:
    # Maildir with folders as directories: names may then hold dots as well as slashes.
    layout = ":LAYOUT=fs" if setup.storage == "maildir" else ""
    quota = f"""
mail_plugins = quota
protocol imap {{
  mail_plugins = quota imap_quota
}}
plugin {{
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage={setup.quota}
}}
"""
    return f"""
ssl_cert = <{setup.certificate.cert_file}
ssl_key = <{setup.certificate.key_file}
disable_plaintext_auth = no
auth_username_format = %u
passdb {{
  driver = passwd-file
  args = username_format=%u {setup.root}/users
}}
userdb {{
  driver = passwd-file
  args = username_format=%u {setup.root}/users
}}
mail_location = {setup.storage}:~/mail{layout}
{quota if setup.quota else ""}"""


def _since_2_4(setup: Setup, version: tuple[int, int]) -> str:
    # The first two settings say whose meaning the others have, and must come first.
    language = f"{version[0]}.{version[1]}.0"
    quota = f"""
mail_plugins {{
  quota = yes
}}
protocol imap {{
  mail_plugins {{
    imap_quota = yes
  }}
}}
quota "User quota" {{
  storage_size = {setup.quota}
}}
"""
    return f"""
dovecot_config_version = {language}
dovecot_storage_version = {language}
ssl_server_cert_file = {setup.certificate.cert_file}
ssl_server_key_file = {setup.certificate.key_file}
auth_allow_cleartext = yes
auth_username_format = %{{user}}
passdb passwd-file {{
  passwd_file_path = {setup.root}/users
}}
userdb passwd-file {{
  passwd_file_path = {setup.root}/users
}}
mail_driver = {setup.storage}
mail_path = ~/mail
mailbox_list_layout = fs
{quota if setup.quota else ""}"""


def _listeners(setup: Setup, version: tuple[int, int]) -> str:
    def login(protocol: str, plain: int, tls: int) -> str:
        # One login process serves every connection: a new one for each would be measured with the client.
        return f"""
service {protocol}-login {{
  {unlimited}
  process_min_avail = 1
  inet_listener {protocol} {{
    port = {plain}
  }}
  inet_listener {protocol}s {{
    port = {tls}
    ssl = yes
  }}
}}
"""

    unlimited = "restart_request_count = unlimited" if version >= (2, 4) else "service_count = 0"
    ports = setup.ports
    text = login("imap", ports.imap, ports.imaps)
    if setup.pop3:
        text += login("pop3", ports.pop3, ports.pop3s)
    # No growing delay after wrong passwords: tests of refused logins would pay it one after the other.
    return (
        text
        + """
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service stats {
  unix_listener stats-writer {
    mode = 0666
  }
}
"""
    )


def _privileges(setup: Setup) -> str:
    import grp
    import pwd

    if os.geteuid() == 0:
        return ""
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    services = ["anvil", "imap-login", "imap-urlauth-login", "stats", *(["pop3-login"] if setup.pop3 else [])]
    # Only root can change user or root directory.
    unchrooted = "".join(f"service {name} {{\n  chroot =\n}}\n" for name in services)
    return f"""
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
{unchrooted}
"""


def _folders(setup: Setup) -> str:
    special = "".join(
        f"  mailbox {_quoted(name)} {{\n    auto = create\n    special_use = {use}\n  }}\n"
        for name, use in setup.special.items()
    )
    return f"namespace inbox {{\n  inbox = yes\n  separator = /\n{special}}}\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
