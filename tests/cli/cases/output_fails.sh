# No command ends well that could not write its output, and none writes it into a file of a
# database. Every command that `help` lists takes part, with operands by its usage line.
printf 'a\t1\nb\t2\n' >in.tsv
"$lsmctl" load db in.tsv -q
"$lsmctl" compact db -q

# operands OF USAGE...: what stands for each, in `$operands`
operands_for()
{
    operands=
    for operand; do
        case $operand in
        DB | "[DB]" | "DB...") operands="$operands work" ;;
        KEY) operands="$operands a" ;;
        "[VALUE]" | VALUE) operands="$operands v" ;;
        FILE) operands="$operands work/CURRENT" ;;
        "[FILE]") operands="$operands in.tsv" ;;
        NEWDB | "[NEWDB]") operands="$operands new" ;;
        "[WORKLOAD,...]") operands="$operands fillseq --num 10" ;;
        "[COMMAND]" | COMMAND) operands="$operands scan" ;;
        *) echo "no operand for '$operand'" ;;
        esac
    done
}

fresh()
{
    rm -rf work new
    # A database that is to be made must not be there.
    [ "$command" = create ] || cp -r db work
}

# check WORDS ARGUMENTS...: where there is output, WORDS must tell that it is lost
check()
{
    fresh
    "$lsmctl" "$@" >out 2>err
    normal=$?
    for to in full closed; do
        fresh
        if [ $to = full ]; then
            "$lsmctl" "$@" >/dev/full 2>err
        else
            "$lsmctl" "$@" >&- 2>err
        fi
        code=$?
        if ! [ -s out ]; then
            [ $code -eq $normal ] || echo "$*: $to, nothing to write: exit code $code"
        elif [ $code -eq 0 ] || ! grep -q 'writing' err; then
            echo "$*: $to: exit code $code, told: $(cat err)"
        fi
    done
    # Without a place for words the data counts, and no database has them.
    fresh
    "$lsmctl" "$@" >out 2>&-
    code=$?
    [ $code -eq $normal ] || echo "$*: no standard error: exit code $code"
    fresh
    "$lsmctl" "$@" <&- >&- 2>&-
    if [ "$command" != create ]; then
        "$lsmctl" verify work >verified 2>&1 || cat verified
    fi
    count=$((count + 1))
}

count=0
commands=$("$lsmctl" help | sed -n 's/^  \([a-z]*\)  *[A-Z].*/\1/p')
for command in $commands; do
    # shellcheck disable=SC2046
    operands_for $("$lsmctl" help "$command" | sed -n "1s/^usage: lsmctl $command *//p")
    # shellcheck disable=SC2086
    {
        check "$command" $operands
        check "$command" $operands --json
        check help "$command"
        check "$command" --help
    }
done
command=
check help
check --help
check -h
check version
check --version
check -V
[ $count -gt 80 ] && echo "all are checked"
