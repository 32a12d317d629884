#compdef cacheness
# Completion of cacheness in zsh. The command itself provides the candidates: cacheness __complete.

_cacheness() {
    local -a line described open
    local value help
    line=("${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}")
    while IFS=$'\t' read -r value help; do
        if [[ "$value" == *[/=] ]]; then
            open+=("$value")
        elif [[ -n "$help" ]]; then
            described+=("${value//:/\\:}:$help")
        else
            described+=("${value//:/\\:}")
        fi
    done < <("${(Q)words[1]}" __complete -- "${line[@]}" 2> /dev/null)
    (( $#open )) && compadd -S '' -- "${open[@]}"
    (( $#described )) && _describe -t values value described
    (( $#open + $#described ))
}

if [[ "$funcstack[1]" == _cacheness ]]; then
    _cacheness "$@"
else
    compdef _cacheness cacheness
fi
