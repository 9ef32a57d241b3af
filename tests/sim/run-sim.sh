#!/bin/sh
# Ten thousand seeds keep every promise, crowds starve nobody, and each rule broken on purpose is noticed. TAP.
set -u
sim=${STOKER_BUILD:-.}/tests/sim/sim
crowd=${STOKER_BUILD:-.}/tests/sim/crowd
seeds=10000 crowds=1500
test "${STOKER_TEST_QUICK:-0}" = 1 && seeds=1000 crowds=150
echo 1..17
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
judge() {
	number=$((number + 1))
	case $2 in
	ok*|*"
ok"*) echo "ok $number - $1" ;;
	*) echo "not ok $number - $1"; echo "# $2" ;;
	esac
}
for rule in epochs commit silence success resume lease margin pool slots copy bring; do
	judge "a broken rule is noticed: $rule" "$("$sim" --seeds 2000 --break $rule 2>&1)"
done
judge "crowds exceed no limit and starve nobody" "$("$crowd" --seeds $crowds 2>&1)"
for rule in pool slots clock; do
	judge "a broken rule is noticed in a crowd: $rule" "$("$crowd" --seeds 500 --break $rule 2>&1)"
done
