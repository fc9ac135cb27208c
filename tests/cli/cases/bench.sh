# Every workload runs; the numbers are the machine's.
all=fillseq,fillrandom,overwrite,flush,readrandom,readmissing,readseq,readreverse,seekrandom
t_masked bench db --create $all,mixed,compact,wait,readrandom --num 2000 --value-size 100
t_masked bench db2 --create fillrandom,readrandom --num 1000 --threads 3 --batch 10 --sync full --json
"$lsmctl" count db
t_masked bench db readseq --num 2000 --duration 0.1 -q
