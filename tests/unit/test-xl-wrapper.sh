#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# test-xl-wrapper.sh - What `xl` does with the commands that are not ours
#
# Runs xl-under-test (the product's code, but for the library, which is a stub,
# and the sockets' directory, which is xl-colo.run in the current one), with a
# false distribution's xl that prints its arguments one a line.
set -u

bin=${abs_top_builddir:-.}/tests/unit
xl=$bin/xl-under-test
[ -x "$xl" ] || { echo "Bail out! $xl is not built"; exit 1; }

work=$(mktemp -d) || exit 1
owners=()
trap 'kill "${owners[@]}" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1

n=0
failed=0
ok() { # ok STATUS LABEL
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        failed=1
        echo "not ok $n - $2"
        sed 's/^/# out: /' out 2>/dev/null
        sed 's/^/# err: /' err 2>/dev/null
    fi
}

cat >distrib <<'END'
#!/bin/sh
printf '<%s>\n' "$@"
exit "${DISTRIB_STATUS:-0}"
END
chmod +x distrib
export XL_COLO_DISTRIB_XL=$work/distrib

run() { # run ARGUMENTS...: output in out and err, exit status in $status
    "$xl" "$@" >out 2>err
    status=$?
}

expect() { # expect LINE...: the false xl got exactly these
    printf '<%s>\n' "$@" >want
    cmp -s want out
}

# ---- Arguments and exit status ----------------------------------------------

run list
expect list; ok $? "list is the distribution's"
# shellcheck disable=SC2016 # a dollar
odd='$HOME'
run -vvv create 'a b' '' '*' "quo'te\"" $'new\nline' "$odd" '-x' -- --
expect -vvv create 'a b' '' '*' "quo'te\"" $'new\nline' "$odd" '-x' -- --
ok $? "odd characters and empty arguments stay as they are"
run -f -N -t -T destroy 5
expect -f -N -t -T destroy 5; ok $? "global options too"
run -- list; expect -- list; ok $? "and --"
run -x list; expect -x list; ok $? "options that nobody knows are passed on"
run migrate-receive -r
expect migrate-receive -r; ok $? "migrate-receive is the distribution's"
run nonsense; expect nonsense; ok $? "so are commands that do not exist"
run re web1; expect re web1; ok $? "and what could be one of several"
run remus-s; expect remus-s; ok $? "remus-s is no command"
run ''; expect ''; ok $? "nor is nothing"
many=$(seq 1 2000)
# shellcheck disable=SC2086 # one argument a number
run list $many
# shellcheck disable=SC2086
expect list $many; ok $? "2000 arguments"

for s in 0 1 2 42 127 255; do
    DISTRIB_STATUS=$s run list
    [ "$status" -eq "$s" ]; ok $? "exit status $s comes back"
done
cat >killed <<'END'
#!/bin/sh
kill -9 $$
END
chmod +x killed
{ XL_COLO_DISTRIB_XL=$work/killed run list; } 2>/dev/null # "Killed"
[ "$status" -eq 137 ]; ok $? "a signal too"
printf 'in put\n' >in
cat >reader <<'END'
#!/bin/sh
exec cat
END
chmod +x reader
XL_COLO_DISTRIB_XL=$work/reader "$xl" console 3 <in >out 2>err
cmp -s in out; ok $? "standard input is the distribution's"
(XL_COLO_DISTRIB_XL=$work/none run list; [ "$status" -eq 127 ] &&
    grep -q 'is no program' err)
ok $? "no distribution's xl: 127 and a sentence"
cp "$xl" copy
(XL_COLO_DISTRIB_XL=$work/copy; ./copy list >out 2>err; [ $? -eq 127 ])
ok $? "it never runs itself"

# ---- Help ---------------------------------------------------------------------

commands=$(grep -c '^    { "remus' \
    "${abs_top_srcdir:-.}/tools/xl-ext/commands.c")
for args in help ''; do
    # shellcheck disable=SC2086 # nothing, or one word
    DISTRIB_STATUS=3 run $args
    [ "$status" -eq 3 ] && head -1 out | grep -q "^<$args>$" &&
        [ "$(grep -c '^ remus[a-z-]*  *[A-Z]' out)" -eq "$commands" ]
    ok $? "xl $args: the distribution's help, then ours, its exit status"
done
# What Debian's completion for bash makes of it.
cat >list <<'END'
#!/bin/sh
printf 'Usage xl [-vfNtT] <subcommand> [args]\n\n'
printf 'xl full list of subcommands:\n\n'
printf ' %-19s %s\n' create 'Create a domain' 'list' 'List'
END
chmod +x list
XL_COLO_DISTRIB_XL=$work/list run help
words=$(sed 1,4d out | awk '/^ [^ ]/ {print $1}' | tr '\n' ' ')
want=$(sed -n 's/^    { "\(remus[a-z-]*\)".*/\1/p' \
    "${abs_top_srcdir:-.}/tools/xl-ext/commands.c" | tr '\n' ' ')
[ "$words" = "create list $want" ]
ok $? "one word a subcommand for completion"
run help remus
head -1 out | grep -q '^<help>$' && grep -q -e '--interval MS' out
ok $? "help remus: both"
run help create
expect help create; ok $? "help create: the distribution's"
for c in checkpoint failover receive report set status stop; do
    run help remus-$c
    [ "$status" -eq 0 ] && grep -q "^Usage: xl \[-v\] remus-$c" out &&
        ! grep -q '^<' out
    ok $? "help remus-$c: ours"
    run remus-$c --help
    [ "$status" -eq 0 ] && grep -q "^Usage: xl \[-v\] remus-$c" out
    ok $? "remus-$c --help"
done

# ---- Ours ----------------------------------------------------------------------

run remus web1 host2
[ "$status" -eq 0 ] && grep -q '^protect \[web1\] \[host2\] ssh \[ssh\] inte' out
ok $? "xl remus reaches the library"
run -v remus -Fnd -i 100 -s 'rsh -x' --peer 10.0.0.2 web1 host2
grep -q 'ssh \[rsh -x\] interval 100 .* flags Fndv peers \[10.0.0.2\]' out
ok $? "with its options"
for s in 0 1 3 4 5 6 7 8 9 10 11; do
    STUB_OUTCOME=$s run remus web1 host2
    [ "$status" -eq "$s" ] && [ "$(grep -c '^xl remus: ' err)" -eq 1 ]
    ok $? "outcome $s is the exit status, and said in a sentence"
done
run remus -i 1 web1 host2
[ "$status" -eq 2 ] && grep -q '10 to 60000' err && ! [ -s out ]
ok $? "usage: 2, and nothing was done"
run remus -u web1 host2
[ "$status" -eq 0 ] && grep -q 'no effect' err; ok $? "-u says so"
run -N remus web1 host2
[ "$status" -eq 1 ] && grep -q 'does not implement -N' err
ok $? "no dry run"
run remus-receive --verbose
grep -q '^receive verbose$' out; ok $? "remus-receive"
run remus-receive x
[ "$status" -eq 2 ]; ok $? "which takes no argument"
run remus-status --json
[ "$status" -eq 0 ] && [ "$(cat out)" = '[]' ] && ! [ -s err ]
ok $? "nothing protected: [] and 0"
run remus-status web1
[ "$status" -eq 1 ] && grep -q "'web1' is not protected" err
ok $? "a domain that is not protected: 1"
mkdir xen.etc
echo 'colo="interval=50,peer=10.0.0.2,plaintext"' >xen.etc/web1.cfg
run remus web1 host2
[ "$status" -eq 0 ] && grep -q \
    ' interval 50 .* flags p peers \[10.0.0.2\] config \[xen.etc/web1.cfg\]' out
ok $? "what the domain's file says"
run remus --peer a -i 70 web1 host2
grep -q ' interval 70 .* peers \[a\] config' out
ok $? "the command line wins"
run remus --config '' web1 host2
grep -q ' interval 200 .* peers$' out; ok $? "--config '': no file"
echo 'colo="interval=5"' >xen.etc/web1.cfg
run remus web1 host2
[ "$status" -eq 2 ] && grep -q 'web1.cfg: colo: interval 5: it must be' err &&
    ! [ -s out ]
ok $? "nonsense in it: 2, and nothing was done"
rm -r xen.etc
run remus-set web1 interval=50
[ "$status" -eq 1 ] && grep -q "'web1' is not protected" err
ok $? "remus-set of such a domain: 1"
for args in '' web1 'web1 interval' 'web1 interval=50 x'; do
    # shellcheck disable=SC2086 # words
    run remus-set $args
    [ "$status" -eq 2 ] && ! [ -s out ]; ok $? "remus-set $args: 2"
done
for c in checkpoint failover stop; do
    run remus-$c web1
    [ "$status" -eq 1 ] && grep -q "'web1' is not protected" err
    ok $? "remus-$c of such a domain: 1"
    run remus-$c
    [ "$status" -eq 2 ] && grep -q 'which domain' err
    ok $? "remus-$c of nothing: 2"
done

# ---- A protected domain -----------------------------------------------------

uuid=6a0b3c5e-0000-4000-8000-00163e00000
mkfifo ready
own() { # own NUMBER NAME ROLE STATE: a fake owner in directory NAME
    mkdir -p "$2"
    rm -f "$2"/*
    printf '{"rc":0,"domain":"%s","domid":%d,"role":"%s","state":"%s",' \
        "$2" "$1" "$3" "$4" >"$2/status"
    printf '"peer":"host2","warnings":[]}\n' >>"$2/status"
    "$bin/fake-owner" "$uuid$1" "$2" >ready &
    owner=$!
    owners+=("$owner")
    read -r _ <ready
}

gone() { # gone PID...: these owners end, and their sockets with them
    local pid i
    for pid in "$@"; do
        for ((i = 0; i < 500; i++)); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.02
        done
        [ "$i" -lt 500 ] || return 1
    done
}

asked() { # asked NAME OP...: NAME's owner was asked exactly this
    local name=$1
    shift
    [ "$(tr '\n' ' ' <"$name/asked")" = "${*:+$* }" ]
}

own 1 web1 primary protected
for c in 'destroy web1' 'destroy -f web1' 'destroy 1' 'pause web1' \
    'unpause web1' 'save -c web1 f' 'migrate -s rsh web1 h' 'mem-set web1 5' \
    'mem-max web1 5' 'vcpu-set -i web1 2' 'block-attach web1 x' \
    'block-detach web1 -f x' 'network-attach web1' 'network-detach web1 0' \
    'pci-attach web1 x' 'pci-detach -f web1 x' 'usbctrl-attach web1' \
    'usbctrl-detach web1 0' 'usbdev-attach web1 x' 'usbdev-detach web1 0 1' \
    'vtpm-attach web1' 'vtpm-detach web1 0' 'vkb-attach web1 x' \
    'vkb-detach web1 0' 'vdispl-attach web1' 'vsnd-detach web1 0' \
    'cd-insert web1 hda x' 'cd-eject web1 hda' 'rename web1 web2' \
    'suspend web1' 'resume web1' '-v destroy web1'; do
    # shellcheck disable=SC2086 # words
    run $c
    [ "$status" -eq 1 ] && ! [ -s out ] &&
        grep -q "'web1' is protected: .*remus-stop web1" err
    ok $? "$c: refused"
done
run des web1
[ "$status" -eq 1 ] && grep -q 'did you mean .xl destroy' err
ok $? "an abbreviation is not guessed at"
for c in 'destroy web2' 'destroy 12' 'list web1' 'console web1' \
    'vcpu-list web1' 'sysrq web1 h' 'dump-core web1 f' 'destroy' \
    'destroy -h web1' 'mem-set web2 1' 'rename web2 web1' 'des web2'; do
    # shellcheck disable=SC2086
    run $c
    # shellcheck disable=SC2086
    [ "$status" -eq 0 ] && expect $c; ok $? "$c: the distribution's"
done
run remus-status
grep -q '^web1 .* primary .* protected .* host2' out; ok $? "its status"
run remus-status --json 1
[ "$(cat out)" = "[$(cat web1/status)]" ]; ok $? "as JSON, by domid"
run remus-checkpoint web1
[ "$status" -eq 0 ] && asked web1 checkpoint; ok $? "remus-checkpoint"
run remus-failover web1
[ "$status" -eq 0 ] && asked web1 checkpoint failover
ok $? "remus-failover, on the primary too"
echo '{"rc":16,"error":"not now"}' >web1/checkpoint
run remus-checkpoint ${uuid}1
[ "$status" -eq 1 ] && [ "$(cat err)" = "xl remus-checkpoint: not now" ]
ok $? "a refusal is a sentence"
echo 'gibberish' >web1/checkpoint
run remus-checkpoint web1
[ "$status" -eq 1 ] && grep -q 'makes no sense' err; ok $? "gibberish too"
rm web1/asked
run remus-set web1 interval=50 mode=remus
[ "$status" -eq 0 ] && asked web1 set interval=50 mode=remus
ok $? "remus-set"
rm web1/asked
long=$(printf '%0300d' 5)
run remus-set web1 "interval=$long"
[ "$status" -eq 2 ] && grep -q 'too much in one go' err && ! [ -e web1/asked ]
ok $? "more than a line: 2"
run remus-set web1 "interval=50
stop"
[ "$status" -eq 1 ] && grep -q 'only plain characters' err &&
    ! [ -e web1/asked ]
ok $? "nor does a second line pass"
echo '{"rc":22,"error":"interval 5: it must be 10 to 60000"}' >web1/set
run remus-set web1 interval=5
[ "$status" -eq 1 ] && [ "$(cat err)" = \
    "xl remus-set: interval 5: it must be 10 to 60000" ]
ok $? "what it refuses is a sentence"
rm web1/asked

echo '{"rc":16,"error":"the other host is silent"}' >web1/shutdown
run shutdown -w web1
[ "$status" -eq 1 ] && ! [ -s out ] && grep -q 'did not end.*silent' err &&
    asked web1 shutdown
ok $? "shutdown: protection does not end, nothing is done"
rm web1/shutdown web1/asked
run shutdown -w web1
[ "$status" -eq 0 ] && expect shutdown -w web1 && asked web1 shutdown &&
    grep -q "protection of 'web1' has ended" err && gone "$owner"
ok $? "shutdown: protection ends, then the distribution's"
run shutdown web1
expect shutdown web1 && ! [ -s err ]; ok $? "the next one finds it unprotected"

own 1 web1 primary syncing
run reboot web1
expect reboot web1 && asked web1 reboot && gone "$owner"; ok $? "reboot in the same way"

own 1 web1 primary protected
first=$owner
own 2 web2 secondary protecting
run shutdown -a
expect shutdown -a && asked web1 shutdown && asked web2 stop &&
    gone "$first" "$owner"
ok $? "shutdown -a: every protection ends, copies are given up"

own 1 web1 primary protected
run remus-stop web1
[ "$status" -eq 0 ] && asked web1 stop && gone "$owner"; ok $? "remus-stop"

# ---- A standby copy -----------------------------------------------------------

own 2 web2 secondary protecting
for c in 'destroy web2--incoming' 'destroy 2' 'unpause 2' 'shutdown 2'; do
    # shellcheck disable=SC2086
    run $c
    [ "$status" -eq 1 ] && ! [ -s out ] && grep -q 'standby copy' err
    ok $? "$c: refused"
done
run destroy web2
expect destroy web2; ok $? "another domain of that name is not meant"
run remus-checkpoint web2
[ "$status" -eq 1 ] && grep -q 'runs on the other host' err
ok $? "remus-checkpoint on the wrong host"
run remus-set web2 interval=50
[ "$status" -eq 1 ] && grep -q 'runs on the other host' err
ok $? "remus-set too"
run remus-failover web2
[ "$status" -eq 0 ] && asked web2 failover; ok $? "remus-failover"
sed -i s/protecting/running/ web2/status
run destroy web2
expect destroy web2; ok $? "after the failover it is an ordinary domain"

# ---- A process that hangs ---------------------------------------------------

: >web2/status # it never answers
run remus-status
[ "$status" -eq 0 ] && grep -q 'no answer in time' err; ok $? "is reported"
run shutdown -a
[ "$status" -eq 1 ] && ! [ -s out ] && grep -q 'gives no answer' err
ok $? "shutdown -a leaves its domain alone"

# ---- What a killed process leaves ------------------------------------------

kill -9 "$owner"
wait "$owner" 2>/dev/null
run remus-status
[ "$status" -eq 0 ] && grep -q "${uuid}2.sock is what a killed process" err &&
    grep -q 'rm xl-colo.run' err && [ "$(wc -l <out)" -eq 1 ]
ok $? "its socket is reported, with the way out"
run destroy web2
expect destroy web2; ok $? "and guards nothing"
run remus-stop ${uuid}2
[ "$status" -eq 1 ] && grep -q 'Connection refused' err
ok $? "nobody can be asked there"

echo "1..$n"
exit $failed
