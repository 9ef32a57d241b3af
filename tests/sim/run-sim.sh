#!/bin/sh
# Ten thousand seeds keep every promise, and each rule broken on purpose is noticed. TAP.
set -u
sim=${STOKER_BUILD:-.}/tests/sim/sim
seeds=10000
test "${STOKER_TEST_QUICK:-0}" = 1 && seeds=1000
echo 1..9
number=0
report() {
	number=$((number + 1))
	sed -e "s/^ok - /ok $number - /" -e "s/^not ok - /not ok $number - /"
}
"$sim" --seeds $((seeds / 2)) >"${TMPDIR:-/tmp}/sim.$$.1" 2>&1 &
first=$!
"$sim" --first $((seeds / 2 + 1)) --seeds $((seeds / 2)) >"${TMPDIR:-/tmp}/sim.$$.2" 2>&1
wait $first
for half in 1 2; do
	report <"${TMPDIR:-/tmp}/sim.$$.$half" >"${TMPDIR:-/tmp}/sim.$$.out"
	number=$half
	grep -Eq '^(not )?ok ' "${TMPDIR:-/tmp}/sim.$$.out" || echo "not ok $half - the simulator died"
	cat "${TMPDIR:-/tmp}/sim.$$.out"
	rm -f "${TMPDIR:-/tmp}/sim.$$.$half" "${TMPDIR:-/tmp}/sim.$$.out"
done
number=2
for rule in epochs commit silence success resume lease margin; do
	number=$((number + 1))
	said=$("$sim" --seeds 2000 --break $rule 2>&1) || true
	case $said in
	ok*|*"
ok"*) echo "ok $number - a broken rule is noticed: $rule" ;;
	*) echo "not ok $number - a broken rule is noticed: $rule"; echo "# $said" ;;
	esac
done
