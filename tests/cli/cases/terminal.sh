# No byte of a database reaches the terminal that could move its cursor or change its colours.
evil=$(printf 'a\033[2J\302\233')
printf '%s' "$evil" >evil
head -c 3000 /dev/zero | tr '\0' '\033' >large
"$lsmctl" put --create db --files evil evil -q
"$lsmctl" put --create -k "$evil" db --files evil large -q
"$lsmctl" compact db -q
"$lsmctl" put db --files evil evil -q

# clean ARGUMENTS...: says whether what comes out is, and that something does
clean()
{
    "$lsmctl" "$@" >output 2>&1
    # Of UTF-8, control characters are also those of two bytes that begin with \302 \200 to \237.
    if tr -d '\n\t' <output | LC_ALL=C grep -q -e "$(printf '[\001-\037\177]')" -e "$(printf '\302[\200-\237]')"; then
        echo "control characters: lsmctl $1 $2"
        cat -v output | head -c 300
    elif ! [ -s output ]; then
        echo "nothing: lsmctl $1 $2"
    fi
}
clean get db --files evil
clean get db --files evil --json
clean get db --files evil -k "$evil"
clean scan db
clean scan db --json
clean scan db --versions
clean keyspaces db
clean keyspaces db --json
clean status db
clean stats db
clean events db
clean events db --json
clean dump db
clean dump db --json
clean find db --files evil
clean manifest db
for file in db/*.sst db/*.vlog db/MANIFEST-* db/EVENTS.log; do
    clean inspect "$file"
done
clean verify db
clean salvage db rebuilt
clean salvage db --dry-run --json
echo "all clean"
