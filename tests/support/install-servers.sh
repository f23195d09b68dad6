#!/bin/sh
# Installs the real programs that tests and benchmarks use and that are missing here, on Debian and its relatives:
# as root, or where nobody sits (CI) with a sudo that asks nothing. A user at a terminal gets the command to run by hand
# instead. It says beforehand what it installs and never asks; ARCHIPEC_INSTALL=no installs nothing. It always exits 0,
# because the tests decide what a missing program means (ARCHIPEC_REQUIRE_REAL).
set -u

PATH=$PATH:/usr/sbin:/sbin
export PATH

# Files and commands rather than dpkg: this runs before every `make test`.
missing=
# want PACKAGE WHAT...: it is missing where none of these commands and files is there.
want() {
  package=$1
  shift
  for what in "$@"; do
    case $what in
    /*) [ ! -e "$what" ] || return 0 ;;
    *) ! command -v "$what" >/dev/null || return 0 ;;
    esac
  done
  missing="$missing $package"
}
want dovecot-imapd /usr/lib/dovecot/imap /usr/libexec/dovecot/imap
want dovecot-pop3d /usr/lib/dovecot/pop3 /usr/libexec/dovecot/pop3
want openssl openssl
want isync mbsync
want procmail formail
want zip zip
want unzip unzip
want 7zip 7zz 7z
want openssh-server sshd
want openssh-client ssh-keygen
want libnss-wrapper /usr/lib/libnss_wrapper.so /usr/lib/*/libnss_wrapper.so
want proftpd-core proftpd
want proftpd-mod-crypto /usr/lib/proftpd/mod_tls.so /usr/lib/*/proftpd/mod_tls.so
want thunderbird thunderbird
want libnss3-tools certutil
want chromium chromium
want gcc gcc
want libc6-dev /usr/include/stdio.h
# The module that Debian leaves out of its Python; other Pythons bring it along.
python3 -c 'import ensurepip' 2>/dev/null || missing="$missing python3-venv"
# Further packages may be named as arguments, each as FILE:PACKAGE, wanted when FILE isn't there.
for wanted in "$@"; do
  want "${wanted##*:}" "${wanted%:*}"
done
[ -n "$missing" ] || exit 0

cannot() {
  echo "install-servers: missing:$missing; $1" >&2
  exit 0
}

by_hand="sudo apt-get install --no-install-recommends$missing"
command -v apt-get >/dev/null || cannot "no apt-get on this system: please install them by hand"
[ "${ARCHIPEC_INSTALL:-}" != no ] || cannot "ARCHIPEC_INSTALL=no; to install them: $by_hand"
if [ "$(id -u)" = 0 ]; then
  as_root=
elif [ -t 0 ] && [ -t 2 ] && [ -z "${CI:-}" ]; then
  cannot "the tests that need them are skipped; to install them: $by_hand"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
  as_root="sudo -n"
else
  cannot "not root and no sudo without a password; to install them: $by_hand"
fi

log=$(mktemp) || cannot "no temporary file"
policy=/usr/sbin/policy-rc.d
made_policy=
clean_up() {
  rm -f "$log"
  [ -z "$made_policy" ] || $as_root rm -f "$policy"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# Packages start their services when installed; the tests only want the programs.
if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null; then
  made_policy=yes
  $as_root chmod 755 "$policy"
fi

apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y \
    -o DPkg::Lock::Timeout=120 -o Acquire::Retries=3 "$@" >>"$log" 2>&1
}

echo "install-servers: installing system packages with apt-get:$missing" >&2
apt update || echo "install-servers: the package lists could not be refreshed, trying with the old ones" >&2
# shellcheck disable=SC2086  # a list of words on purpose
if apt install --no-install-recommends $missing; then
  exit 0
fi
# One package that can't be had must not keep the others out.
failed=
for package in $missing; do
  apt install --no-install-recommends "$package" || failed="$failed $package"
done
if [ -n "$failed" ]; then
  tail -n 15 "$log" >&2
  missing=$failed
  cannot "apt-get could not install them (its last words are above)"
fi
