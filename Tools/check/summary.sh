#!/bin/sh
# obmalloc's unit tests: sum up what the tests of all variants logged.
#
#   summary.sh BUILD LOG...
#
# A log that is missing, or that does not end with its counts, is a failure:
# the test could not be built, or the whole of it crashed.  What a log says was
# skipped is told.

build=$1
shift
passed=0
failed=0
faults=0

# The last line of a log, if it gives counts.
counts_of() {
    [ -f "$1" ] && tail -n 1 "$1" | grep -E '^[0-9]+ passed, [0-9]+ failed$'
}

add_log() {
    name=${1#"$build"/}
    if counts=$(counts_of "$1"); then
        passed=$((passed + ${counts%% *}))
        fails=${counts#*, }
        failed=$((failed + ${fails%% *}))
        grep '^[a-z ]*: skipped' "$1"
        for count in $(sed -n 's/^faults passed: \([0-9]*\) .*/\1/p' "$1"); do
            faults=$((faults + count))
        done
        [ "${fails%% *}" = 0 ] && return
    elif [ -f "$1" ]; then
        failed=$((failed + 1))
        echo "--- $name: ended without its counts"
    else
        failed=$((failed + 1))
        unbuilt="$unbuilt $name"
        return
    fi
    sed "s|^|${name%.log}: |" "$1"
}

# 32 bits may be left out, but only on request.
without_32_bits() {
    case " $unbuilt" in *" 32bit/"*) ;; *) return;; esac
    echo 'int main(void) { return 0; }' | ${GCC:-gcc} -m32 -x c - -o "$build/probe-32" 2>/dev/null && return
    kept=
    skipped=0
    for name in $unbuilt; do
        case $name in
        32bit/*) skipped=$((skipped + 1));;
        *) kept="$kept $name";;
        esac
    done
    unbuilt=$kept
    failed=$((failed - skipped))
    if [ "$CHECK_SKIP_32" = 1 ]; then
        echo "32 bits: skipped, as CHECK_SKIP_32=1 asks"
    else
        echo "32 bits: the compiler cannot link for them: install gcc-multilib, or say CHECK_SKIP_32=1"
        failed=$((failed + 1))
    fi
}

unbuilt=
for log; do
    add_log "$log"
done
without_32_bits
if [ -n "$unbuilt" ]; then
    echo "--- not built:$unbuilt"
    grep -E 'error:|undefined reference|No rule' "$build/build.log" | head -n 20
    echo "    (all of it: $build/build.log)"
fi
[ -n "$CHECK_HAVE_CLANG" ] || echo "clang: not found, so its variant is skipped (Debian: clang)"
[ "$faults" = 0 ] || echo "fault injection: $faults calls of the system failed, one at a time, and nothing was lost"
echo "$passed passed, $failed failed"
if [ -n "$COUNTS" ]; then
    printf '{"passed":%d,"failed":%d,"skipped":0}\n' "$passed" "$failed" >"$COUNTS"
fi
[ "$failed" = 0 ]
