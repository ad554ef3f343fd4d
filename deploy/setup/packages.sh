#!/bin/sh
# Install the Debian packages of packages.txt that are missing. Without root, or on another system, name them and go on:
# the tests that need one say so and are skipped (with CI set they fail instead).
set -eu
list=$(grep -v '^#' "$(dirname "$0")/packages.txt")
if ! command -v dpkg-query >/dev/null; then
    echo "not a Debian system: the end-to-end tests use what they find of:" $list
    exit 0
fi
missing=
for package in $list; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "not root: tests that need these are skipped; install them with"
    echo "    sudo apt-get install --no-install-recommends$missing"
    exit 0
fi
echo "installing$missing"
# Nothing may start by itself: each test starts its own daemon. The policy is ours only where there was none.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
if ! { apt-get update && apt-get install --yes --no-install-recommends $missing; } >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
rm -f "$log"
