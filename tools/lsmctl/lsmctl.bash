# bash completion for lsmctl

_lsmctl()
{
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}
    local commands="create get put del scan count load dump info stats levels segments keyspaces
        options events find inspect manifest verify compact salvage bench help version"
    local common="--json --hex --files --keyspace --option --once --verbose --quiet --help"
    local command= word i

    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
        -k | -o | --keyspace | --option | --once) ((i++)) ;;
        -*) ;;
        *)
            command=$word
            break
            ;;
        esac
    done

    if [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "$commands $common --version" -- "$current"))
        return
    fi
    case $previous in
    --from-file | -f) [[ $command == put ]] && { COMPREPLY=($(compgen -f -- "$current")); return; } ;;
    --sync) COMPREPLY=($(compgen -W "written full" -- "$current")); return ;;
    --format) COMPREPLY=($(compgen -W "tsv jsonl dump" -- "$current")); return ;;
    esac

    if [[ $current == -* ]]; then
        case $command in
        get) word="--raw" ;;
        put) word="--from-file --ttl --if-absent --create" ;;
        scan) word="--from --after --to --through --prefix --limit --reverse --keys-only --versions" ;;
        count) word="--from --after --to --through --prefix" ;;
        load) word="--format --sync --partial" ;;
        dump) word="--from --from-keyspace" ;;
        stats) word="--prometheus" ;;
        events) word="--follow --since --local" ;;
        compact) word="--from --to" ;;
        salvage) word="--dry-run --uncertain --database" ;;
        bench) word="--workloads --create --num --operations --key-size --value-size --threads --sync
            --batch --duration --compression-ratio --read-percent --seek-nexts --seed" ;;
        *) word= ;;
        esac
        COMPREPLY=($(compgen -W "$word $common" -- "$current"))
        return
    fi

    case $command in
    help) COMPREPLY=($(compgen -W "$commands" -- "$current")) ;;
    inspect) COMPREPLY=($(compgen -f -- "$current")) ;;
    load) COMPREPLY=($(compgen -f -- "$current")) ;;
    bench)
        if ((COMP_CWORD > i + 1)); then
            COMPREPLY=($(compgen -W "fillseq fillrandom overwrite readrandom readmissing readseq
                readreverse seekrandom mixed flush compact wait" -- "$current"))
        else
            COMPREPLY=($(compgen -d -- "$current"))
        fi
        ;;
    *) COMPREPLY=($(compgen -d -- "$current")) ;;
    esac
}

complete -o filenames -F _lsmctl lsmctl
