#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-disk-dump.sh - The Python verifier and the C codec agree
set -u
: "${abs_top_srcdir:?}"

dump_py=$abs_top_srcdir/tests/disk-dump.py
corpus=$abs_top_srcdir/tests/fuzz/corpus/diskproto
# shellcheck source=tests/unit/dump.sh
. "$abs_top_srcdir/tests/unit/dump.sh"

good_and_bad

lines=$(dump "$corpus/good-stream-primary")
[ "$(echo "$lines" | wc -l)" -eq 7 ]
result $? "a line for each message"
echo "$lines" | grep -q 'ZERO epoch=42 off=65536 octets=131072$'
result $? "a message's fields are shown"

same_types "$abs_top_srcdir/docs/specs/disk-protocol.md"

usage_and_plan
