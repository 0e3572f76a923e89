# SPDX-License-Identifier: LGPL-2.1-or-later
# dump.sh - For the tests of the Python verifiers: what they share
#
# Sourced with $dump_py (the verifier) and $corpus (its fuzz target's) set. A
# verifier was written from its specification. It must accept what the corpus
# calls good, and refuse, with a sentence, what it calls bad.
# shellcheck shell=sh
: "${dump_py:?}" "${corpus:?}"

if [ -z "${PYTHON:-}" ]; then
    echo "1..0 # SKIP python3 is not installed"
    exit 0
fi

n=0
rc=0

# result PASS(0 or not) WHAT
result() {
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        rc=1
        echo "not ok $n - $2"
    fi
}

dump() {
    "$PYTHON" "$dump_py" "$@"
}

good_and_bad() {
    for file in "$corpus"/good-*; do
        dump -q "$file"
        result $? "accepts ${file##*/}"
    done
    for file in "$corpus"/bad-*; do
        said=$(dump -q "$file" 2>&1)
        [ $? -eq 1 ] && [ "${said#*: at }" != "$said" ]
        result $? "refuses ${file##*/}: ${said##*: at }"
    done
}

# same_types SPEC: every number of the specification's table of types
same_types() {
    types=$("$PYTHON" - "$dump_py" <<'PY'
import runpy, sys
for kind, (name, who, low, high, *_) in sorted(
        runpy.run_path(sys.argv[1])["TYPES"].items()):
    ends = " and ".join(end[0].upper() for end in sorted(who))
    size = f"{low}" if low == high else f"{low} to {high}"
    print(f"| {kind} | {name} | {ends} | {size} |")
PY
    )
    [ -n "$types" ] && echo "$types" | while read -r row; do
        grep -qF "$row" "$1" || exit 1
    done
    result $? "the specification has the same table of types"
}

# usage_and_plan: the last test of each
usage_and_plan() {
    dump 2>/dev/null
    [ $? -eq 2 ]
    result $? "usage is exit status 2"
    echo "1..$n"
    exit $rc
}
