#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-disk-dump.sh - The Python verifier and the C codec agree
#
# tests/disk-dump.py was written from the specification. It must accept what
# the corpus calls good, and refuse, with a sentence, what it calls bad.
set -u
: "${abs_top_srcdir:?}"

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
    "$PYTHON" "$abs_top_srcdir/tests/disk-dump.py" "$@"
}

corpus=$abs_top_srcdir/tests/fuzz/corpus/diskproto
for file in "$corpus"/good-*; do
    dump -q "$file"
    result $? "accepts ${file##*/}"
done
for file in "$corpus"/bad-*; do
    said=$(dump -q "$file" 2>&1)
    [ $? -eq 1 ] && [ "${said#*: at }" != "$said" ]
    result $? "refuses ${file##*/}: ${said##*: at }"
done

lines=$(dump "$corpus/good-stream-primary")
[ "$(echo "$lines" | wc -l)" -eq 7 ]
result $? "a line for each message"
echo "$lines" | grep -q 'ZERO epoch=42 off=65536 octets=131072$'
result $? "a message's fields are shown"

# Every number of the specification's table of types.
spec=$abs_top_srcdir/docs/specs/disk-protocol.md
types=$("$PYTHON" - "$abs_top_srcdir/tests/disk-dump.py" <<'PY'
import runpy, sys
for kind, (name, who, low, high, *_) in sorted(
        runpy.run_path(sys.argv[1])["TYPES"].items()):
    ends = " and ".join(end[0].upper() for end in sorted(who))
    size = f"{low}" if low == high else f"{low} to {high}"
    print(f"| {kind} | {name} | {ends} | {size} |")
PY
)
[ -n "$types" ] && echo "$types" | while read -r row; do
    grep -qF "$row" "$spec" || exit 1
done
result $? "the specification has the same table of types"

dump 2>/dev/null
[ $? -eq 2 ]
result $? "usage is exit status 2"

echo "1..$n"
exit $rc
