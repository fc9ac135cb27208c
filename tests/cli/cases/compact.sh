# Merging tables gives back what lies in tables; where the rest is, is told.
value=$(head -c 3000 /dev/zero | tr '\0' x)
for round in 1 2 3 4 5; do
    for key in 1 2 3 4 5 6 7 8 9; do
        printf 'key%s\t%s%s\n' $key $round "$value"
    done >round
    printf 'once%s\t%s\n' $round "$value" >>round
    "$lsmctl" load db -q <round
done

# compacted ARGUMENTS...: what is said, without the time it took
compacted()
{
    "$lsmctl" compact "$@" 2>&1 | sed 's/ in [0-9.]* [mun]*s:/:/' | mask_numbers
}
compacted db
dead=$("$lsmctl" compact db --json | sed 's/.*"dead_value_bytes":\([0-9]*\).*/\1/')
# 36 of the 50 values are dead.
[ "$dead" -gt 108000 ] && [ "$dead" -lt 116000 ] && echo "dead are about 36 values"
compacted db --json
"$lsmctl" dump db -q | "$lsmctl" load small -q
compacted small
compacted small -q
