#!/usr/bin/env bash
# Runs an x86-64 Linux program on an emulated processor that has AVX-512 and AMX, on any machine.
#
#   tools/emulate-avx512.sh PROGRAM [ARGUMENT...]
#
# The program runs under a Linux kernel of its own inside Bochs, with this environment, working folder and arguments;
# what it writes comes back as standard output and its exit status is this script's. Static and dynamic programs both work
# (the shared libraries that ldd names travel along). As a cargo runner it tests kernels that this machine cannot execute:
#
#   CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$PWD/tools/emulate-avx512.sh DINO_REQUIRE_ISA=amx \
#       cargo test --release -p dino-kernels --lib -- tiles_agree
#
# Starting takes about ten seconds and the emulator runs tens of millions of instructions a second on one processor, so
# choose the tests that matter. What it computes is exact; what it takes says nothing about speed.
#
# Environment:
#   EMULATOR_CPU      sapphire_rapids (the default): AVX-512 with VNNI, BF16 and FP16; AMX with INT8 and BF16; AVX-VNNI
#                     corei7_icelake_u: AVX-512 with VNNI    corei7_skylake_x: AVX-512 without VNNI
#                     arrow_lake: AVX-VNNI without AVX-512   corei7_haswell_4770: AVX2
#   EMULATOR_TIMEOUT  seconds until the run is given up with status 124 (default 600)
#   EMULATOR_MEMORY   MiB of memory, which holds the program and its files too (default 1024)
#   EMULATOR_FILES    files and folders that the program reads, separated by colons; they keep their absolute paths
#
# The first use builds Bochs 3 from Debian's source package, with the corrections of emulate-avx512.patch, and downloads a
# kernel, both into ${XDG_CACHE_HOME:-$HOME/.cache}/dino-emulator (a few minutes). It needs a Debian system, and
# installs the few packages that are missing when run as root.
set -euo pipefail

corrections=$(realpath "$(dirname "$0")")/emulate-avx512.patch
cache=${XDG_CACHE_HOME:-$HOME/.cache}/dino-emulator
bochs=$cache/bochs-$(cksum <"$corrections" | cut -d' ' -f1)
# The Debian suite whose source package is the version that the corrections are for.
source_suite=trixie
# What the guest is made of: only files of these packages are used, so they are unpacked, not installed.
guest_packages=(bochsbios vgabios isolinux syslinux-common busybox-static)
exit_marker=emulated-program-exit-status

main() {
    [[ $# -gt 0 ]] || fail "usage: ${0##*/} PROGRAM [ARGUMENT...]"
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    install_missing_packages
    [[ -x $bochs ]] || build_bochs
    [[ -e $cache/guest/complete ]] || unpack_guest
    exec 9>&-

    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    write_root "$@"
    write_disc
    boot
}

fail() {
    echo "${0##*/}: $*" >&2
    exit 125
}

install_missing_packages() {
    local -A package_of=([xorriso]=xorriso [make]=make [g++]=g++ [xz]=xz-utils [patch]=patch)
    local command missing=()
    for command in "${!package_of[@]}"; do
        command -v "$command" >/dev/null || missing+=("${package_of[$command]}")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    [[ $EUID -eq 0 ]] || fail "missing packages; as root: apt-get install ${missing[*]}"
    echo "installing ${missing[*]}" >&2
    apt-get update -qq && apt-get install -y -qq "${missing[@]}" >&2
}

# Builds in the cache, from the source package of `source_suite`, fetched with a package list of its own so that the
# system's lists stay as they are.
build_bochs() {
    echo "building Bochs (once, a few minutes)" >&2
    local build=$cache/build mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' 'Component: main' |
        head -1)
    [[ -n $mirror ]] || fail "no Debian package mirror is configured"
    rm -rf "$build"
    mkdir -p "$build"/apt/{sources,lists/partial,cache/archives/partial}
    printf 'deb-src [signed-by=%s] %s %s main\n' /usr/share/keyrings/debian-archive-keyring.gpg "$mirror" "$source_suite" \
        >"$build/apt/sources/source.list"
    cat >"$build/apt/apt.conf" <<-END
		Dir::Etc::sourcelist "/dev/null";
		Dir::Etc::sourceparts "$build/apt/sources";
		Dir::State::lists "$build/apt/lists";
		Dir::Cache "$build/apt/cache";
		APT::Sandbox::User "root";
	END
    (
        cd "$build"
        export APT_CONFIG=$build/apt/apt.conf
        apt-get update -qq
        apt-get source -qq --tar-only --download-only bochs
        tar xf bochs_*.orig.tar.* --strip-components=1
        patch -p1 <"$corrections"
        ./configure --with-nogui --disable-docbook --enable-cpu-level=6 --enable-x86-64 --enable-all-optimizations \
            --enable-long-phy-address --enable-avx --enable-evex --enable-amx CFLAGS=-O2 CXXFLAGS=-O2
        make -j"$(nproc)"
    ) >"$cache/build.log" 2>&1 || fail "building Bochs failed: see $cache/build.log"
    mv "$build/bochs" "$bochs"
    rm -rf "$build"
}

# Debian's cloud kernel: small, its serial console built in, nothing to probe for.
unpack_guest() {
    echo "downloading the guest's kernel and firmware (once)" >&2
    local guest=$cache/guest kernel_package
    rm -rf "$guest"
    mkdir -p "$guest/packages"
    (
        cd "$guest/packages"
        [[ $EUID -ne 0 ]] || apt-get update -qq
        kernel_package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ { print $2; exit }')
        apt-get -o APT::Sandbox::User=root download -qq "${kernel_package:?}" "${guest_packages[@]}"
        for package in *.deb; do
            dpkg-deb --extract "$package" .
        done
        cp boot/vmlinuz-* "$guest/vmlinuz"
        cp usr/share/bochs/BIOS-bochs-latest usr/share/vgabios/vgabios.bin usr/lib/ISOLINUX/isolinux.bin "$guest"
        cp usr/lib/syslinux/modules/bios/ldlinux.c32 "$guest"
        cp "$(find . -path '*bin/busybox' | head -1)" "$guest/busybox"
    ) || fail "could not download the guest's packages: run apt-get update as root and try again"
    rm -rf "$guest/packages"
    touch "$guest/complete"
}

# The guest's root folder: the program with its libraries and files at their own paths, and an /init that runs it.
write_root() {
    local root=$work/root program file variable
    program=$(realpath "$(command -v "$1")") || fail "no program $1"
    shift
    mkdir -p "$root"/{bin,proc,sys,dev,tmp} "$root/$PWD"
    cp "$cache/guest/busybox" "$root/bin/busybox"
    local files=("$program") extra=()
    mapfile -t -O 1 files < <(ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true)
    IFS=: read -ra extra <<<"${EMULATOR_FILES:-}"
    for file in "${files[@]}" "${extra[@]}"; do
        cp -rL --parents "$(realpath -s "$file")" "$root"
    done
    {
        echo "cd ${PWD@Q}"
        for variable in $(compgen -e); do
            echo "export $variable=${!variable@Q}"
        done
        echo "exec ${program@Q} ${*@Q}"
    } >"$root/command"
    write_init >"$root/init"
    chmod +x "$root/init"
}

write_init() {
    cat <<-END
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t sysfs sys /sys
		mount -t devtmpfs dev /dev
		exec </dev/null >/dev/ttyS0 2>&1
		stty -opost </dev/ttyS0
		echo $exit_marker start
		# Through cat: the program's output is a pipe here too, not a terminal.
		{ sh /command; echo \$? >/status; } 2>&1 | cat
		echo $exit_marker \$(cat /status)
		# By a triple fault (reboot=t below), at which Bochs ends.
		reboot -f
	END
}

write_disc() {
    local disc=$work/disc
    mkdir "$disc"
    (cd "$work/root" && find . | "$cache/guest/busybox" cpio -o -H newc) >"$disc/root.img" 2>/dev/null
    cp "$cache"/guest/{vmlinuz,isolinux.bin,ldlinux.c32} "$disc"
    cat >"$disc/isolinux.cfg" <<-END
		default program
		label program
		  kernel /vmlinuz
		  initrd /root.img
		  append console=ttyS0,115200 quiet loglevel=1 panic=-1 reboot=t $(kernel_parameters)
	END
    xorriso -as mkisofs -quiet -o "$work/disc.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
        -boot-info-table "$disc" 2>/dev/null
    rm -rf "$disc" "$work/root"
}

# Without `no5lvl` and `acpi=off` Bochs loses the kernel in system management mode. `clearcpuid=fsrm`: the kernel's copies
# overwrite memory on a processor that has fast short copies but no fast string operations, as this one says it is.
# The rest leaves out work that takes seconds here and that no program sees.
kernel_parameters() {
    echo no5lvl acpi=off clearcpuid=fsrm mitigations=off nokaslr pci=off tsc=reliable cryptomgr.notests \
        initcall_blacklist=trace_eval_init,load_system_certificate_list
}

# `ips`, the instructions that make a second: few, so that a byte on the serial line is cheap, but not so few that the guest
# is busy with timer interrupts. Only a panic is logged: Bochs also logs from a signal handler, which can deadlock.
boot() {
    cat >"$work/bochsrc" <<-END
		cpu: model=${EMULATOR_CPU:-sapphire_rapids}, count=1, ips=20000000, reset_on_triple_fault=0
		memory: guest=${EMULATOR_MEMORY:-1024}, host=${EMULATOR_MEMORY:-1024}
		romimage: file=$cache/guest/BIOS-bochs-latest
		vgaromimage: file=$cache/guest/vgabios.bin
		ata0-master: type=cdrom, path=$work/disc.iso, status=inserted
		boot: cdrom
		clock: sync=none, time0=utc
		com1: enabled=1, mode=file, dev=/dev/fd/3
		display_library: nogui
		log: $work/bochs.log
		panic: action=fatal
		error: action=ignore
		info: action=ignore
	END
    {
        timeout --kill-after=5 "${EMULATOR_TIMEOUT:-600}" "$bochs" -q -f "$work/bochsrc" \
            3>&1 >"$work/bochs.out" 2>&1 </dev/null || true
    } | relay_output
}

# Copies what the program writes and returns its exit status. What the firmware and the kernel write is shown if the
# program does not end.
relay_output() {
    local line started='' console='' status=
    while IFS= read -r line || [[ -n $line ]]; do
        case $line in
        *"$exit_marker start"*) started=1 ;;
        *"$exit_marker "*)
            printf %s "${line%%"$exit_marker"*}"
            status=${line##*"$exit_marker "}
            ;;
        *)
            [[ -z $status ]] || continue
            if [[ $started ]]; then printf '%s\n' "$line"; else console+=$line$'\n'; fi
            ;;
        esac
    done
    [[ -z $status ]] || return "$status"
    printf '%s\n' "${0##*/}: the program did not end in time, or the emulated machine failed" "$console" >&2
    grep PANIC "$work/bochs.log" >&2 || true
    return 124
}

main "$@"
