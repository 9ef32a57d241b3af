#!/bin/sh
# Adds up the numbers from 1 to $STOKER_PARAM_TARGET. After each number the state of the work (how far, and the sum) is
# saved as a checkpoint; a later attempt goes on from there. A number left out or added twice would show in the sum.
set -eu

number=0
sum=0
if [ -n "${STOKER_RESUME_FROM:-}" ]; then
	read -r number sum <"$STOKER_RESUME_FROM"
	echo "resumed after $number with the sum $sum"
fi

# The SIGTERM that asks to stop reaches the whole process group, mv in the middle of its work too. It is ignored here,
# and by what is started here; the stop file that comes with it says the same and interrupts nothing.
trap '' TERM

while [ "$number" -lt "$STOKER_PARAM_TARGET" ]; do
	sleep "$STOKER_PARAM_PAUSE"
	number=$((number + 1))
	sum=$((sum + number))

	# Under a name that never counts first, then renamed: whoever looks sees a whole checkpoint or none.
	name=$(printf '%s/count-%06d' "$STOKER_CHECKPOINT_DIR" "$number")
	echo "$number $sum" >"$name.tmp"
	mv "$name.tmp" "$name"

	echo "{\"step\": $number, \"steps\": $STOKER_PARAM_TARGET, \"sum\": $sum}" >>"$STOKER_METRICS"
	echo "counted $number of $STOKER_PARAM_TARGET, the sum is $sum"

	if [ -e "$STOKER_STOP_FILE" ] && [ "$number" -lt "$STOKER_PARAM_TARGET" ]; then
		echo "stopping as asked; $number is saved"
		exit 85
	fi
done

echo "sum=$sum" >>"$STOKER_OUTPUT"
