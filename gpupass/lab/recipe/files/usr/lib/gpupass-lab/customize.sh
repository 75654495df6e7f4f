# Runs inside the new root file system while it is built (mmdebstrap customize-hook).
set -eu
lib=/usr/lib/gpupass-lab
share=/usr/share/gpupass-lab
release=$(ls /lib/modules)
step() { echo "gpupass-lab: $1" >&2; }

step "compiling the mediated device samples"
work=$(mktemp -d)
tar -C "$work" -xJf /usr/src/linux-source-6.12.tar.xz --strip-components=1 --wildcards '*/samples/vfio-mdev/*'
samples=$work/samples/vfio-mdev
printf 'obj-m := mtty.o mdpy.o mbochs.o\n' >"$samples/Makefile"
make -s -C "/lib/modules/$release/build" M="$samples" modules
mkdir -p "/lib/modules/$release/updates"
cp "$samples"/*.ko "/lib/modules/$release/updates/"
rm -rf "$work"

step "compiling the lab's own modules"
for module in $lib/modules/*; do
    make -s -C "/lib/modules/$release/build" M="$module" KCFLAGS=-Werror modules
    strip --strip-debug "$module"/*.ko
    cp "$module"/*.ko "/lib/modules/$release/updates/"
done

step "assembling the guests"
mkdir -p $share/guests
nasm -f bin -o $share/guests/ack.img $lib/guests/letgo.asm
nasm -f bin -o $share/guests/slow.img $lib/guests/letgo.asm
nasm -f bin -o $share/guests/native.img $lib/guests/native.asm
nasm -f bin -o $share/guests/refuse.img $lib/guests/refuse.asm

step "removing what only the build needed"
apt-get -qq -y purge --autoremove $(cat $lib/build-packages) >/dev/null
rm -rf /usr/src/* /var/lib/apt/lists/* /var/cache/apt/* /usr/share/doc/* /usr/share/man/* /boot/initrd.img*
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/resolv.conf

step "making the initramfs images"
depmod "$release"
sh $lib/make-initramfs.sh /boot/gpupass-initrd.img $lib/init virtio_pci virtio_blk nvme ext4 virtio_console
sh $lib/make-initramfs.sh $share/guests/linux-initrd.img $lib/linux-guest-init bochs snd_hda_intel
ln -s "/boot/vmlinuz-$release" $share/guests/linux-kernel
cp "/boot/vmlinuz-$release" /boot/gpupass-vmlinuz

step "trimming the boot"
chmod 755 /usr/local/bin/* /usr/lib/nvidia/sriov-manage
passwd -d root >/dev/null
echo gpupass-lab >/etc/hostname
printf '127.0.0.1 localhost gpupass-lab\n' >/etc/hosts
: >/etc/fstab
mkdir -p /opt/gpupass /var/cache/gpupass-pyc /var/log/gpupass-lab
printf 'stdio_handler = "file"\nsecurity_driver = "none"\n' >>/etc/libvirt/qemu.conf
# libvirtd stays, with what it learnt about QEMU, instead of leaving after two idle minutes.
echo 'LIBVIRTD_ARGS=' >/etc/default/libvirtd
systemctl -q enable gpupass-agent.service gpupass-lab-setup.service libvirtd.service
systemctl -q mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \
    fstrim.timer systemd-tmpfiles-clean.timer getty@tty1.service serial-getty@ttyS0.service getty.target \
    systemd-networkd-wait-online.service libvirt-guests.service virtlockd.socket systemd-timesyncd.service \
    systemd-update-utmp.service systemd-binfmt.service systemd-random-seed.service systemd-firstboot.service \
    systemd-resolved.service systemd-pcrphase.service ldconfig.service systemd-journal-catalog-update.service \
    systemd-update-done.service systemd-hwdb-update.service keyboard-setup.service console-setup.service \
    ifupdown-pre.service networking.service rsyslog.service cron.service
# Nobody listens for ssh before somebody asks, by ssh.service or by systemd's own sockets; a key of an image were everybody's.
systemctl -q disable ssh.service
mkdir -p /etc/systemd/system-generators
ln -s /dev/null /etc/systemd/system-generators/systemd-ssh-generator
rm -f /etc/ssh/ssh_host_*
# An ifupdown or libvirt default network would only cost boot time; nothing in the lab needs one.
rm -f /etc/libvirt/qemu/networks/autostart/*
systemctl set-default -q multi-user.target
python3 -m compileall -q $lib >/dev/null || true
rm -rf $lib/build-packages $lib/guests $lib/modules
