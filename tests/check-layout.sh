#!/bin/sh
# The arrows between the folders point one way: common <- dag, executor, web <- scheduler. TAP.
set -u
cd "${STOKER_SOURCE:-.}" || exit 1

# Who may include whom.
allowed() {
	case $1 in
	common) echo common ;;
	dag) echo 'common dag' ;;
	executor) echo 'common executor' ;;
	web) echo 'common web' ;;
	scheduler) echo 'common dag executor web scheduler' ;;
	esac
}

echo 1..7
number=0
for folder in common dag executor web scheduler; do
	number=$((number + 1))
	wrong=$(grep -rn --include='*.[ch]' '^#include "' "$folder" 2>/dev/null | while IFS= read -r line; do
		to=${line#*#include \"}
		to=${to%%/*}
		for may in $(allowed "$folder"); do
			test "$to" = "$may" && continue 2
		done
		case $line in *'"config.h"'*) continue ;; esac
		printf '# %s\n' "$line"
	done)
	if test -z "$wrong"; then
		echo "ok $number - $folder includes only what lies below it"
	else
		echo "not ok $number - $folder includes only what lies below it"
		echo "$wrong"
	fi
done

# Time is read in one file; the agent's loops read clocks of their own kind and are listed.
number=$((number + 1))
wrong=$(grep -rnE --include='*.c' '\b(clock_gettime|gettimeofday|time)\(' common dag executor web scheduler |
	grep -vE '^common/clock\.c|^executor/agent/|\btime\([^)]*[a-z_]' | sed 's/^/# /')
if test -z "$wrong"; then echo "ok $number - only common/clock reads the time"
else echo "not ok $number - only common/clock reads the time"; echo "$wrong"; fi

# SQL stands in the schema and in the lists of statements; store.c and migrate.c open and migrate.
number=$((number + 1))
wrong=$(grep -rnE --include='*.c' '"(SELECT|INSERT|UPDATE|DELETE|PRAGMA) ' common dag executor web scheduler |
	grep -vE '^scheduler/(store|migrate)\.c' | sed 's/^/# /')
if test -z "$wrong"; then echo "ok $number - SQL stands in its own files"
else echo "not ok $number - SQL stands in its own files"; echo "$wrong"; fi
