#!/bin/sh
# embed.sh FILE - prints FILE as a sequence of C string literals, whatever bytes it holds
#
#   static const char schema_sql[] =
#   #include "scheduler/schema_sql.inc"
#   ;
#
# Each literal is wholly made of hexadecimal escapes, so none runs into what follows it.
set -e
[ $# -eq 1 ] || { echo "usage: embed.sh FILE" >&2; exit 2; }
[ -r "$1" ] || { echo "embed.sh: cannot read $1" >&2; exit 1; }
printf '/* made from %s by embed.sh */\n""\n' "${1##*/}"
od -A n -v -t x1 "$1" | sed -e 's/[ 	]*\([0-9a-fA-F][0-9a-fA-F]\)/\\x\1/g' -e 's/[ 	]*$//' -e 's/.*/"&"/'
