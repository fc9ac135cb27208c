# What a load that fails says it has loaded is there, and no entry more.
awk 'BEGIN { for (i = 0; i < 9000; i++) printf "key%06d\tvalue %d\n", i, i }' >9000.tsv
{
    cat 9000.tsv
    printf 'large\t'
    head -c 3000000 /dev/zero | tr '\0' v
    printf '\nlast\tvalue\n'
} >large.tsv

# limited ARGUMENTS...: files may have no more than 1,200 KiB, a value of 3 MB finds no room
limited()
{
    (
        trap '' XFSZ
        ulimit -f $((1200 * 2))
        "$lsmctl" "$@" 2>err
    ) | mask_volatile
    sed 's/: cannot [^("]*/: ... /; s/[0-9]*\.vlog/N.vlog/' err
}
limited load db large.tsv
t count db
limited load json large.tsv --json
t count json
# Of the first commit.
{
    sed -n 2p large.tsv
    tail -n 2 large.tsv
} >first.tsv
limited load none first.tsv
t count none

# An input that ends in a mistake; the commits before it are kept.
{
    cat 9000.tsv
    echo 'no tab'
} >bad.tsv
t load bad bad.tsv
t count bad
{
    tail -n +8193 bad.tsv | sed '$d'
} >rest.tsv
t load bad rest.tsv
t count bad
t load bad bad.tsv -q
# Refused by the library: a key that is too long.
{
    printf 'a\t1\n'
    head -c 65536 /dev/zero | tr '\0' k
    printf '\t2\n'
} >long.tsv
t load long long.tsv
# The input cannot be read.
t load dir .
