# Completion of cacheness in bash. The command itself provides the candidates: cacheness __complete.

_cacheness() {
    # Bash splits words at = and :, the command does not.
    local rest="${COMP_LINE:0:COMP_POINT}" words=() count=0 word spaces
    for word in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
        spaces="${rest%%[! $'\t']*}"
        rest="${rest:${#spaces}}"
        word="${rest:0:${#word}}"
        rest="${rest:${#word}}"
        if [[ -z "$spaces" && $count -gt 0 ]]; then
            words[count - 1]+="$word"
        else
            words[count]="$word"
            count=$((count + 1))
        fi
    done

    # What is typed may be quoted; nothing of it is expanded.
    local current="${words[count - 1]}" quote="" i
    case "$current" in
        \'*) quote="'" ;;
        \"*) quote='"' ;;
    esac
    for ((i = 0; i < count; i++)); do
        case "${words[i]}" in
            \'*) word="${words[i]#\'}" && words[i]="${word%\'}" ;;
            \"*) word="${words[i]#\"}" && words[i]="${word%\"}" ;;
            *) words[i]="${words[i]//\\/}" ;;
        esac
    done

    # Readline replaces only what comes after the last of its breaks.
    local breaks="${COMP_WORDBREAKS//[^:=]/}" before=""
    if [[ -n "$breaks" && -z "$quote" && "$current" == *["$breaks"]* ]]; then
        before="${current%"${current##*["$breaks"]}"}"
    fi

    COMPREPLY=()
    local value open=1
    while IFS=$'\t' read -r value _; do
        [[ "$value" == *[/=] ]] || open=0
        [[ -n "$quote" ]] || printf -v value %q "$value"
        COMPREPLY+=("${value#"$before"}")
    done < <("$1" __complete -- "${words[@]}" 2> /dev/null)
    if [[ ${#COMPREPLY[@]} -gt 0 && $open -eq 1 ]]; then
        compopt -o nospace 2> /dev/null
    fi
}

complete -o bashdefault -o default -F _cacheness cacheness
