# make-initramfs.sh OUT INIT MODULE…: an uncompressed initramfs of busybox, INIT and the named modules with their dependencies.
set -eu
out=$1 init=$2; shift 2
release=$(ls /lib/modules)
tree=$(mktemp -d)
mkdir -p "$tree/bin" "$tree/lib" "$tree/dev" "$tree/proc" "$tree/sys" "$tree/root"
cp /bin/busybox "$tree/bin/busybox"
ln -s busybox "$tree/bin/sh"
cp "$init" "$tree/init"
chmod 755 "$tree/init"
modprobe --set-version "$release" --ignore-install --show-depends --all "$@" |
    awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
while read -r file; do
    name=$(basename "$file" .xz)
    case $file in *.xz) xz -dc "$file" >"$tree/lib/$name" ;; *) cp "$file" "$tree/lib/$name" ;; esac
    echo "$name" >>"$tree/lib/order"
done
( cd "$tree" && find . | cpio --quiet -o -H newc ) >"$out"
rm -rf "$tree"
