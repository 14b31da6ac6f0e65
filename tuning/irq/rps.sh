#!/usr/bin/env bash
# Spreads a network card's work over the cores: its interrupts, its received packets if it has fewer
# receive queues than there are cores (RPS, RFS), and sending (XPS). See
# Documentation/networking/scaling.rst of the kernel.
#
# It saves the old values, and never changes an interface without a card.
set -euo pipefail

# The root of /sys, /proc and /var, for tests.
ROOT=${RINGWAY_TUNING_ROOT:-}
SAVED=$ROOT/var/lib/ringway/rps.saved
# Flows that RFS remembers; the kernel's documentation gives this for a moderately loaded server.
FLOWS=32768

usage() {
    cat <<'TEXT'
Usage: rps.sh [--dry-run] [--cores LIST] [INTERFACE...]
       rps.sh [--dry-run] --undo

Without an interface: all that have a card. LIST is like 0,2-3; without it: all cores.
--dry-run  says what would be written, and writes nothing
--undo     writes back what was there before the first run
Exit status: 0, also where there is nothing to do; 1 something could not be written; 2 misuse.
TEXT
}

fail() {
    echo "rps.sh: $1" >&2
    exit "${2:-1}"
}

dry_run=no
undo=no
core_list=
interfaces=()
while (($#)); do
    case $1 in
    --dry-run) dry_run=yes ;;
    --undo) undo=yes ;;
    --cores)
        (($# > 1)) || fail "--cores needs a list such as 0,2-3" 2
        core_list=$2
        shift
        ;;
    -h | --help)
        usage
        exit 0
        ;;
    -*) fail "unknown option $1; --help shows all" 2 ;;
    *) interfaces+=("$1") ;;
    esac
    shift
done

failures=0

# write PATH VALUE: saves the old value before the first write to a path.
write() {
    local path=$1 value=$2 old
    [[ -e $path ]] || return 0
    old=$(<"$path")
    if [[ $old == "$value" ]]; then
        return 0
    fi
    echo "$path: ${old:-(empty)} -> $value"
    if [[ $dry_run == yes ]]; then
        return 0
    fi
    if [[ $undo == no ]] && ! grep -qsF -- "$path"$'\t' "$SAVED"; then
        mkdir -p -- "${SAVED%/*}"
        printf '%s\t%s\n' "$path" "$old" >>"$SAVED"
    fi
    if ! { printf '%s\n' "$value" >"$path"; } 2>/dev/null; then
        echo "rps.sh: $path cannot be written; it is left as it was" >&2
        failures=$((failures + 1))
    fi
}

if [[ $undo == yes ]]; then
    if [[ ! -e $SAVED ]]; then
        echo "Nothing to undo: there is no $SAVED."
        exit 0
    fi
    while IFS=$'\t' read -r path value; do
        write "$path" "$value"
    done <"$SAVED"
    if [[ $dry_run == no ]] && ((failures == 0)); then
        rm -- "$SAVED"
    fi
    exit $((failures > 0))
fi

# expand 0,2-3: prints one core per line.
expand() {
    local part first last
    local -a parts
    IFS=, read -ra parts <<<"$1"
    for part in "${parts[@]}"; do
        [[ $part =~ ^[0-9]+(-[0-9]+)?$ ]] || fail "\"$1\" is not a list of cores such as 0,2-3" 2
        first=${part%-*} last=${part#*-}
        seq "$first" "$last"
    done
}

# mask CORE...: the set in the kernel's format: groups of 32 bits, the highest first.
mask() {
    local core group text=
    local -a groups=()
    for core in "$@"; do
        group=$((core / 32))
        groups[group]=$((${groups[group]:-0} | 1 << core % 32))
    done
    for ((group = ${#groups[@]} ? $(printf '%s\n' "${!groups[@]}" | tail -n 1) : 0; group >= 0; group--)); do
        if [[ -z $text ]]; then
            text=$(printf '%x' "${groups[group]:-0}")
        else
            text+=$(printf ',%08x' "${groups[group]:-0}")
        fi
    done
    echo "$text"
}

# The kernel pads a set to its number of cores; comparing and writing need the same width.
as_wide_as() {
    local path=$1 value=$2 old
    old=$(<"$path")
    while ((${#value} < ${#old})); do
        if ((${#value} % 9 == 8)); then value=,$value; else value=0$value; fi
    done
    echo "$value"
}

spread() {
    local interface=$1
    local device=$ROOT/sys/class/net/$interface
    local -a received=("$device"/queues/rx-*) sending=("$device"/queues/tx-*) interrupts=()
    local index queue irq set
    # A virtio card uses the interrupts of the PCI device above it.
    for irq in "$device"/device/msi_irqs/* "$device"/device/../msi_irqs/*; do
        [[ -e $irq ]] && interrupts+=("${irq##*/}")
    done
    echo "$interface: ${#received[@]} receive and ${#sending[@]} send queues," \
        "${#interrupts[@]} interrupts, ${#cores[@]} cores"

    for index in "${!interrupts[@]}"; do
        write "$ROOT/proc/irq/${interrupts[index]}/smp_affinity_list" \
            "${cores[index % ${#cores[@]}]}"
    done
    # If every core has a queue, steering packets again would only add cost.
    if ((${#received[@]} < ${#cores[@]})); then
        write "$ROOT/proc/sys/net/core/rps_sock_flow_entries" "$FLOWS"
        set=$(mask "${cores[@]}")
        for queue in "${received[@]}"; do
            [[ -e $queue/rps_cpus ]] || continue
            write "$queue/rps_cpus" "$(as_wide_as "$queue/rps_cpus" "$set")"
            write "$queue/rps_flow_cnt" "$((FLOWS / ${#received[@]}))"
        done
    fi
    # A single send queue leaves no choice.
    if ((${#sending[@]} > 1)); then
        for index in "${!sending[@]}"; do
            queue=${sending[index]}
            [[ -e $queue/xps_cpus ]] || continue
            set=$(mask "${cores[index % ${#cores[@]}]}")
            write "$queue/xps_cpus" "$(as_wide_as "$queue/xps_cpus" "$set")"
        done
    fi
}

[[ -n $core_list ]] || core_list=$(<"$ROOT/sys/devices/system/cpu/online")
expanded=$(expand "$core_list") || exit $?
mapfile -t cores <<<"$expanded"

if ((${#interfaces[@]} == 0)); then
    for path in "$ROOT"/sys/class/net/*; do
        [[ -e $path/device ]] && interfaces+=("${path##*/}")
    done
    if ((${#interfaces[@]} == 0)); then
        echo "Nothing to do: no interface of this machine has a network card behind it." \
            "What goes over loopback is processed on the core that sends it."
        exit 0
    fi
fi
if ((${#cores[@]} == 1)); then
    echo "Nothing to do: there is one core to spread the work over."
    exit 0
fi

for comm in "$ROOT"/proc/[0-9]*/comm; do
    if [[ -e $comm && $(<"$comm") == irqbalance ]]; then
        echo "rps.sh: irqbalance runs and will move the interrupts again; stop it first" >&2
    fi
done 2>/dev/null

for interface in "${interfaces[@]}"; do
    device=$ROOT/sys/class/net/$interface
    if [[ ! -e $device ]]; then
        fail "there is no interface $interface"
    elif [[ ! -e $device/device ]]; then
        echo "$interface: nothing to do: it has no network card behind it, so no interrupts and" \
            "no queues of its own."
    else
        spread "$interface"
    fi
done
exit $((failures > 0))
