#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-proxy-dump.sh - The Python verifier and the C codec agree
set -u
: "${abs_top_srcdir:?}"

dump_py=$abs_top_srcdir/tests/proxy-dump.py
corpus=$abs_top_srcdir/tests/fuzz/corpus/proxy
# shellcheck source=tests/unit/dump.sh
. "$abs_top_srcdir/tests/unit/dump.sh"

good_and_bad

lines=$(dump "$corpus/good-stream-primary")
[ "$(echo "$lines" | wc -l)" -eq 5 ]
result $? "a line for each message"
echo "$lines" | grep -q 'CUT vif=0 epoch=7 mode=colo$'
result $? "a message's fields are shown"

same_types "$abs_top_srcdir/docs/specs/proxy-protocol.md"

usage_and_plan
