#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-proto-dump.sh - The Python verifier and the C codec agree
set -u
: "${abs_top_srcdir:?}"

dump_py=$abs_top_srcdir/tests/proto-dump.py
corpus=$abs_top_srcdir/tests/fuzz/corpus/proto
# shellcheck source=tests/unit/dump.sh
. "$abs_top_srcdir/tests/unit/dump.sh"

good_and_bad

lines=$(dump "$corpus/good-stream-data")
[ "$(echo "$lines" | wc -l)" -eq 5 ]
result $? "a line for each frame"
echo "$lines" | grep -q 'EPOCH_BEGIN inc=1 epoch=1 flags=0x1$'
result $? "a frame's fields are shown"
[ "$(dump "$corpus/good-hello" | grep -c 808182838485)" -eq 0 ]
result $? "the session's key is not shown"

usage_and_plan
