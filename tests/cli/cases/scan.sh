# Ranges, both directions, versions.
printf 'a\t1\nb\t2\nba\t3\nbb\t4\nc\t5\n' >five.tsv
t load db five.tsv -q
t scan db
t scan db --reverse
t scan db --prefix b
t scan db --prefix b --reverse --keys-only
t scan db --from aa --to bb
t scan db --from b --limit 2
t scan db --from x
t scan db --json --limit 2
t scan db --keys-only --hex --prefix 62
t count db
t count db --prefix b
t count db --to b --json
t put db a again
t del db b
t scan db --versions --to ba
t scan db --versions --json --to b
t count db
# Either kind of end, and the empty key as one.
printf '\tzero\na\t1\nb\t2\nc\t3\n' | "$lsmctl" load ends -q
t scan ends --after a --through c
t scan ends --after '' --to c --reverse --keys-only
t scan ends --through ''
t count ends --from a --through c
t scan ends --from a --after a
t count ends --to a --through a
