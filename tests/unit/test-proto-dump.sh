#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-proto-dump.sh - The Python verifier and the C codec agree
#
# tests/proto-dump.py was written from the specification. It must accept what
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
    "$PYTHON" "$abs_top_srcdir/tests/proto-dump.py" "$@"
}

for file in "$abs_top_srcdir"/tests/fuzz/corpus/proto/good-*; do
    dump -q "$file"
    result $? "accepts ${file##*/}"
done
for file in "$abs_top_srcdir"/tests/fuzz/corpus/proto/bad-*; do
    said=$(dump -q "$file" 2>&1)
    [ $? -eq 1 ] && [ "${said#*: at }" != "$said" ]
    result $? "refuses ${file##*/}: ${said##*: at }"
done

lines=$(dump "$abs_top_srcdir/tests/fuzz/corpus/proto/good-stream-data")
[ "$(echo "$lines" | wc -l)" -eq 5 ]
result $? "a line for each frame"
echo "$lines" | grep -q 'EPOCH_BEGIN inc=1 epoch=1 flags=0x1$'
result $? "a frame's fields are shown"
[ "$(dump "$abs_top_srcdir/tests/fuzz/corpus/proto/good-hello" |
    grep -c 808182838485)" -eq 0 ]
result $? "the session's key is not shown"

dump 2>/dev/null
[ $? -eq 2 ]
result $? "usage is exit status 2"

echo "1..$n"
exit $rc
