#!/bin/sh
# autogen.sh - from a clean clone to a program that works
#
#   ./autogen.sh            make ./configure (autoreconf)
#   ./autogen.sh --install  install what building needs on Debian or Ubuntu, then make ./configure
#   ./autogen.sh --demo     install, build in build/, and run the training DAG of configs/examples/digits
#   ./autogen.sh --test     install, build with gcc and with clang and its sanitizers, run every test
#
# --test ends with one line `N passed, M failed`, with `, K skipped` where tests were skipped, and fails when a test
# failed, or none ran. STOKER_TEST_STRICT=1 makes it fail for skipped tests too; STOKER_TEST_QUICK=1 shortens the
# long tests. It builds with as many processes as there are cores and tests with twice as many; STOKER_JOBS=N: with N.
set -eu

BUILD="autoconf automake make gcc libc6-dev pkg-config libuv1-dev libyaml-dev libsqlite3-dev libjansson-dev
	libssh2-1-dev libssl-dev libcurl4-openssl-dev libmicrohttpd-dev libdeflate-dev musl-tools"
# The demo's: numpy, the data set, and a fast linear algebra for numpy.
DEMO="python3 python3-numpy python3-sklearn libopenblas0-pthread"
# llvm has the symbolizer that turns the addresses in a sanitizer's report into lines. The tests make hosts of their
# own with sshd and ip (tests/e2e/lab.py) and log in to them with various shells. croniter is what due times are
# compared with.
TEST="libcmocka-dev clang libclang-rt-dev llvm valgrind xz-utils openssh-server openssh-client iproute2 tcsh fish zsh"
TEST="$TEST python3-croniter openssl"
# What makes the agent for workers of the other machine type.
case $(uname -m) in
x86_64) CROSS="gcc-aarch64-linux-gnu libc6-dev-arm64-cross" ;;
aarch64) CROSS="gcc-x86-64-linux-gnu libc6-dev-amd64-cross" ;;
*) CROSS="" ;;
esac
# Not in every release or for every machine type, and not needed where they are not.
OPTIONAL=" chromium libclang-rt-dev libopenblas0-pthread tcsh fish zsh python3-croniter $CROSS "

source=$(cd "$(dirname "$0")" && pwd)
cd "$source"

say() {
	printf '\n== %s\n' "$*"
}

fail() {
	printf 'autogen.sh: %s\n' "$*" >&2
	exit 1
}

# --- what is missing --------------------------------------------------------------------------------------------------

is_installed() {
	case $1 in
	# What counts is the tool; distributions name its package differently.
	autoconf) command -v autoreconf ;;
	gcc | make | automake | pkg-config | clang) command -v "$1" ;;
	musl-tools) command -v musl-gcc ;;
	libcurl4-openssl-dev) pkg-config --exists libcurl ;; # any flavour of it
	chromium) command -v chromium || command -v chromium-browser ;;
	llvm) command -v llvm-symbolizer ;;
	openssh-server) test -x /usr/sbin/sshd || command -v sshd ;;
	openssh-client) command -v ssh && command -v ssh-keygen ;;
	iproute2) command -v ip ;;
	libclang-rt-dev)
		# Part of clang itself in some releases: then there is no such package and the library is there.
		command -v clang && test -e "$(clang -print-file-name=libclang_rt.asan-"$(uname -m)".a)" ;;
	*) test "$(dpkg-query -W -f '${db:Status-Status}' "$1")" = installed ;;
	esac >/dev/null 2>&1
}

missing_of() {
	for package in "$@"; do
		is_installed "$package" || printf '%s ' "$package"
	done
}

# The packages that apt can install as things stand.
available_of() {
	for package in "$@"; do
		case $(LC_ALL=C apt-cache policy "$package" 2>/dev/null) in
		'' | *'Candidate: (none)'*) ;;
		*) printf '%s ' "$package" ;;
		esac
	done
}

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	else
		sudo "$@"
	fi
}

# Quiet when it goes well: what it does was said before.
apt() {
	apt_log=$(mktemp)
	if as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" \
		</dev/null >"$apt_log" 2>&1; then
		rm -f "$apt_log"
		return 0
	fi
	tail -n 40 "$apt_log" >&2
	rm -f "$apt_log"
	return 1
}

install_packages() {
	if ! command -v apt-get >/dev/null; then
		say "this is neither Debian nor Ubuntu: going on with what is installed (needed: $*)"
		return
	fi
	missing=$(missing_of "$@")
	[ -n "$missing" ] || return 0
	if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
		fail "not root, and there is no sudo; as root, run: apt-get install --no-install-recommends $missing"
	fi

	# shellcheck disable=SC2086 # lists of words, here and below
	if [ "$(available_of $missing)" != "$missing" ]; then
		say "missing: $missing"
		say "updating the list of packages"
		apt update
	fi
	available=$(available_of $missing)
	for package in $missing; do
		case " $available$OPTIONAL" in
		*" $package "*) ;;
		*) fail "apt knows no package $package (on Ubuntu: is 'universe' on?)" ;;
		esac
	done
	[ -n "$available" ] || return 0

	say "installing with apt-get, without recommended packages: $available"
	all=$(apt-get -q -s install --no-install-recommends $available | sed -n 's/^Inst \([^ ]*\).*/\1/p' | sort -u)
	# shellcheck disable=SC2086
	printf 'with what they depend on, %s packages in all:\n' "$(printf '%s\n' $all | wc -l)"
	# shellcheck disable=SC2086
	echo $all | fold -s -w 110
	if ! apt install -y --no-install-recommends $available; then
		say "that failed; once more with a fresh list of packages"
		apt update
		apt install -y --no-install-recommends $available
	fi
}

# --- building ---------------------------------------------------------------------------------------------------------

cores=$(nproc 2>/dev/null || echo 1)
jobs=${STOKER_JOBS:-$cores}
test_jobs=${STOKER_JOBS:-$((2 * cores))} # tests wait more than they compute

bootstrap() {
	say "making ./configure"
	autoreconf -fi
}

# configure_in FOLDER OPTION...: what was built with other options is of no use and goes.
configure_in() {
	folder=$1
	shift
	if [ -e config.status ]; then
		fail "this folder holds a build of its own; run 'make distclean' in it first"
	fi
	options="$source $*"
	if [ -e "$folder/.options" ] && [ "$(cat "$folder/.options")" != "$options" ]; then
		rm -rf "$folder"
	fi
	mkdir -p "$folder"
	(cd "$folder" && ../configure -q "$@")
	echo "$options" >"$folder/.options"
}

demo() {
	# shellcheck disable=SC2086
	install_packages $BUILD $DEMO
	bootstrap
	say "building in build/"
	configure_in build
	make -s -C build -j"$jobs"
	say "build/stoker run configs/examples/digits/digits.yaml"
	exec build/stoker run configs/examples/digits/digits.yaml
}

# --- testing ----------------------------------------------------------------------------------------------------------

passed=0
failed=0
skipped=0

# count_results FOLDER: adds up what automake's test driver wrote there.
count_results() {
	# shellcheck disable=SC2046
	set -- $(find "$1" -name '*.trs' -exec cat {} + | awk '
		/^:test-result: *(PASS|XFAIL)/ { passed++ }
		/^:test-result: *(FAIL|XPASS|ERROR)/ { failed++ }
		/^:test-result: *SKIP/ { skipped++ }
		END { print passed + 0, failed + 0, skipped + 0 }')
	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
	stage_ran=$(($1 + $2 + $3))
	stage_failed=$2
}

# keep_failures FOLDER: what its failed tests said, to be told once more at the end, where it is looked for.
keep_failures() {
	grep -lE '^:test-result: *(FAIL|XPASS|ERROR)' -r --include='*.trs' "$1" | while read -r trs; do
		log=${trs%.trs}.log
		say "failed in $log"
		# What follows a failed story, up to the next one; what ended without a failed one: how it ended.
		awk '/^(not )?ok /{ shown = /^not / } shown' "$log" | head -n 60
		grep -q '^not ok ' "$log" || tail -n 30 "$log"
	done >>"$failures"
}

# check FOLDER: builds, tests and counts. What fails without a failed test to show for it counts as one.
check() {
	folder=$1
	find "$folder" -name '*.trs' -exec rm -f {} +
	status=0
	make -s -C "$folder" -j"$jobs" all && VERBOSE=1 make -s -C "$folder" -j"$test_jobs" check || status=$?
	count_results "$folder"
	[ "$stage_failed" = 0 ] || keep_failures "$folder"
	if [ "$stage_failed" = 0 ] && { [ "$status" != 0 ] || [ "$stage_ran" = 0 ]; }; then
		echo "$folder: the build or 'make check' itself failed (status $status, $stage_ran results)"
		failed=$((failed + 1))
	fi
}

# For tests/e2e/test_page.py, which is skipped without it. Only where npm is there already: Debian's brings 400 packages
# along. What it installs is pinned by a lock file, and stays in tests/e2e/page.
install_browser() {
	command -v npm >/dev/null || return 0
	install_packages chromium
	say "the driver of the browser: npm ci in tests/e2e/page"
	(cd tests/e2e/page && npm ci --no-audit --no-fund --ignore-scripts) >/dev/null 2>&1 ||
		say "npm ci failed: the tests of the page in a browser are skipped"
	STOKER_PAGE_MODULES=$source/tests/e2e/page/node_modules # the archive of distcheck has none
	export STOKER_PAGE_MODULES
}

run_tests() {
	failures=$(mktemp)
	# shellcheck disable=SC2086
	install_packages $BUILD $DEMO $TEST $CROSS
	if [ -x /usr/bin/python3 ]; then
		PYTHON3=/usr/bin/python3 # the one that python3-numpy belongs to, whatever comes first in PATH
		export PYTHON3
	fi
	install_browser
	bootstrap

	say "gcc, warnings as errors: build/"
	configure_in build CC=gcc --enable-werror
	check build

	# The long tests ran once; what the next two are for does not need their full length.
	STOKER_TEST_QUICK=1
	export STOKER_TEST_QUICK

	say "clang, warnings as errors, AddressSanitizer and UndefinedBehaviorSanitizer: build-clang/"
	configure_in build-clang CC=clang --enable-werror --enable-sanitizers
	check build-clang

	say "make distcheck: the archive unpacks, builds beside its source, passes its tests, installs and uninstalls"
	if VERBOSE=1 make -s -C build -j"$test_jobs" distcheck; then
		passed=$((passed + 1))
	else
		echo "make distcheck failed"
		keep_failures build/stoker-*
		failed=$((failed + 1))
	fi

	cat "$failures"
	rm -f "$failures"
	verdict=0
	if [ "$failed" != 0 ] || [ "$passed" = 0 ]; then
		verdict=1
	fi
	if [ "$skipped" != 0 ] && [ "${STOKER_TEST_STRICT:-0}" = 1 ]; then
		echo "STOKER_TEST_STRICT=1: skipped tests count as a failure"
		verdict=1
	fi
	say "all of it, gcc, clang with sanitizers, distcheck"
	summary="$passed passed, $failed failed"
	if [ "$skipped" != 0 ]; then
		summary="$summary, $skipped skipped"
	fi
	echo "$summary"
	exit "$verdict"
}

case $#:${1:-} in
0:) bootstrap ;;
1:--install)
	# shellcheck disable=SC2086
	install_packages $BUILD
	bootstrap
	;;
1:--demo) demo ;;
1:--test) run_tests ;;
1:--help | 1:-h) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p;}' "$0" ;;
*) fail "unknown: $*; try ./autogen.sh --help" ;;
esac
