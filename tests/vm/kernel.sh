# shellcheck shell=bash
# Debian's kernels for tests/vm/run and tests/vm/e2e, to be read with `.`: fetched once, into build/vm/NAME.
#
# kernel_fetch NAME leaves there: vmlinuz, and tree/, a root with busybox and lib/modules (those that a network, a file system or a
# cipher may need, unpacked, with what depmod makes of them), in which modprobe finds its modules. It fails where the package cannot be had.
# kernel_root DIRECTORY INIT makes a root there: busybox, ip, the agent with its libraries and a policy, INIT.

# What an emulated laptop may be asked to load; the rest of Debian's package are devices that it has not.
KERNEL_PARTS="net fs crypto lib arch/x86/crypto block drivers/virtio drivers/block drivers/net/wireguard drivers/net/can drivers/net/ppp drivers/net/veth.ko
	drivers/net/tun.ko drivers/net/tap.ko drivers/net/dummy.ko drivers/net/macvlan.ko drivers/net/vxlan.ko drivers/net/vxlan drivers/net/ifb.ko
	drivers/net/vrf.ko drivers/net/slip drivers/net/appletalk drivers/infiniband/core drivers/nfc drivers/char/hw_random"

# The package that a meta package stands for, or the package itself.
kernel_name() {
	local name
	name=$(apt-cache depends "$1" 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)/\1/p' | head -n 1)
	echo "${name:-$1}"
}

kernel_unpack() { # in build/vm/NAME: the package's files in x/ become vmlinuz and tree/
	local at version part file dir=$PWD
	at=$(echo x/lib/modules/* x/usr/lib/modules/* | tr ' ' '\n' | grep -v '\*' | head -n 1)
	version=${at##*/}
	mkdir -p "tree/lib/modules/$version/kernel" tree/{bin,proc,sys,dev,root,run,tmp,lower}
	for part in $KERNEL_PARTS; do
		for file in "$at/kernel/$part" "$at/kernel/$part.xz"; do
			[ -e "$file" ] || continue
			mkdir -p "tree/lib/modules/$version/$(dirname "${file#"$at"/}")"
			cp -r "$file" "tree/lib/modules/$version/$(dirname "${file#"$at"/}")/"
		done
	done
	find tree -name '*.ko.xz' -exec xz -d {} +
	cp "$at"/modules.builtin* "$at"/modules.order "tree/lib/modules/$version/"
	cp "$(command -v busybox)" tree/bin/
	# depmod wants a root of its own: it knows no directory but lib/modules
	chroot "$dir/tree" /bin/busybox depmod "$version"
	mv x/boot/vmlinuz-* vmlinuz
}

kernel_fetch() { # package's name; build/vm/NAME/whole says that nothing was cut short, and which of these scripts made it
	local dir=build/vm/$1 stamp
	stamp=$(echo "$KERNEL_PARTS" | cksum)
	[ "$(cat "$dir/whole" 2>/dev/null)" != "$stamp" ] || return 0
	rm -rf "$dir"
	mkdir -p "$dir"
	(cd "$dir" && apt-get -qq download "$1" >/dev/null 2>&1 && dpkg -x ./*.deb x && kernel_unpack && rm -rf x ./*.deb) || return 1
	echo "$stamp" >"$dir/whole"
}

kernel_root() {
	local r=$1 l a
	rm -rf "$r"
	mkdir -p "$r"/{bin,sbin,proc,sys,dev,tmp,run,etc,var/lib,var/spool,usr/lib,boot}
	cp /bin/busybox "$r/bin/"
	for a in ln sh mount mkdir sleep nc cat grep poweroff uname chmod chown insmod ls sort sed tail timeout printf sysctl rm kill; do
		ln -sf busybox "$r/bin/$a"
	done
	cp build/crmfence build/crmfenced policies/salesforce-voice-assistant.json "$r/bin/"
	cp "$(command -v ip)" "$r/sbin/ip" # by its path: busybox takes its own
	cp "$2" "$r/init"
	chmod +x "$r/init"
	ldd build/crmfenced build/crmfence "$(command -v ip)" | grep -oE '/[^ :]+\.so[^ :]*' | sort -u | while read -r l; do
		mkdir -p "$r$(dirname "$l")"
		cp -L "$l" "$r$l"
	done
}
