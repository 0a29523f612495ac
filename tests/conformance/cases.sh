# What the clients' scripts share. A script sources it, names its cases, and ends with `closing`.
#   case_ NAME COMMAND...     runs a case in a subshell of its own: prints `ok NAME` or `FAIL NAME: why`
#   fail WHY                  inside a case
#   want COMMAND              skips the whole client where the machine lacks a command
#   $bootstrap, $work (a folder of this run), $prefix (of topic names, so that runs do not meet)
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
client=$(basename "$(dirname "$(readlink -f "$0")")")
bootstrap=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$client-$$-$RANDOM
failures=0

want() {
  command -v "$1" >/dev/null || { echo "skipped: $1 is missing"; exit 77; }
}

fail() {
  printf '%s\n' "$*" >"$work/why"
  exit 1
}

same() { # EXPECTED-FILE FOUND-FILE
  cmp "$1" "$2" >"$work/differs" 2>&1 || fail "bytes differ: $(cat "$work/differs"), $(wc -c <"$1") bytes sent, $(wc -c <"$2") read"
}

case_() { # NAME COMMAND...
  local name=$1; shift
  : >"$work/why"
  if ("$@") >"$work/said" 2>&1; then echo "ok $name"
  else
    failures=$((failures + 1))
    echo "FAIL $name: $(cat "$work/why")"
    sed 's/^/    /' "$work/said" | tail -n 20
  fi
}

closing() {
  exit $((failures > 0))
}
